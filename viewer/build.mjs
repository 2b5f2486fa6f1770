// Bundle the page into the folder named as the only argument: index.html and what it loads, nothing from elsewhere.
import { copyFileSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = dirname(fileURLToPath(import.meta.url))
const page = process.argv[2]
if (!page) throw new Error('name the folder to build into')
const out = `${page}.new` // a page that is served meanwhile stays whole

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
  chunkNames: 'chunk-[hash]',
  logLevel: 'warning',
})
copyFileSync(join(here, 'index.html'), join(out, 'index.html'))
rmSync(page, { recursive: true, force: true })
renameSync(out, page)
