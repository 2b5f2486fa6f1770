// Bundle the page into the folder named as the only argument: index.html and what it loads, nothing from elsewhere.
import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const page = process.argv[2]
if (!page) throw new Error('name the folder to build into')
const out = `${page}.new` // a page that is served meanwhile stays whole

// zarr-layer 0.5 leaves the step from latitudes to the map to tan and log of the graphics card, in single precision: rasters in
// projected coordinates lie up to 200 m beside their place. Here that step is done in double precision, before.
const exactMercator = {
  name: 'exact-mercator',
  setup({ onLoad }) {
    onLoad({ filter: /zarr-layer[/\\]dist[/\\]index\.js$/ }, ({ path }) => {
      const found = readFileSync(path, 'utf8')
      const contents = found
        .replace('encoded[i * 2 + 1] = (lat + 90) / 180 * 2 - 1;', 'encoded[i * 2 + 1] = 1 - 2 * latToMercatorNorm(lat);')
        .replace(/(VERTEX_TO_WGS84_TO_MERCATOR = `[^`]*)vec2 merc = [^;]*;/, '$1vec2 merc = vec2(normLon, 1.0 - normLat);')
      if (!contents.includes('vec2(normLon, 1.0 - normLat)') || !contents.includes('1 - 2 * latToMercatorNorm'))
        throw new Error('this is another zarr-layer: see whether it places projected rasters exactly, and change exactMercator')
      return { contents }
    })
  },
}

rmSync(out, { recursive: true, force: true })
mkdirSync(out, { recursive: true })
await build({
  entryPoints: {
    main: join(here, 'src/main.ts'),
    'map-worker': 'maplibre-gl/dist/maplibre-gl-worker.mjs',
  },
  absWorkingDir: here,
  outdir: out,
  bundle: true,
  splitting: true, // codecs load when a store needs them
  format: 'esm',
  target: 'es2022',
  minify: true,
  legalComments: 'linked',
  // codecs that need eval, which the page forbids; zstd.ts stands in for the one that our stores use
  alias: Object.fromEntries(['blosc', 'lz4', 'zstd'].map((codec) => [`numcodecs/${codec}`, join(here, 'src/no_codec.ts')])),
  plugins: [exactMercator],
  chunkNames: 'chunk-[hash]',
  logLevel: 'warning',
})
copyFileSync(join(here, 'index.html'), join(out, 'index.html'))
rmSync(page, { recursive: true, force: true })
renameSync(out, page)
