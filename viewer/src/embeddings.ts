// Three bands of the embeddings as red, green and blue. A chunk of the mosaic holds all its bands: the map gets a store that
// is made of three of them, over the window of the run.

import * as zarr from 'zarrita'
import { Raster, type Grid } from './raster'
import type { Window } from './run'
import { DataError } from './settings'
import { openStore, type Tell } from './zarr_store'

export const BANDS = [1, 16, 9]
export const RGB = 'rgb'

/** Decoded bytes of whole chunks kept: each is read for one picture. */
const CACHE_BYTES = 32 * 2 ** 20

export interface Embeddings {
  raster: Raster
  /** Years of its time axis. */
  years: number[]
}

/** Codecs whose decoders this page may not run (no_codec.ts). */
const UNREADABLE = /blosc|lz4|numcodecs.zstd/

/** The mosaic at `url` (with a slash at the end). Raises a DataError in words where the page cannot show it. */
export async function openEmbeddings(url: string, variable: string, window: Window, grid: Grid, tell: Tell): Promise<Embeddings> {
  const source = await openStore(url.replace(/\/$/, ''), tell, CACHE_BYTES)
  const root = zarr.root(source)
  const codec = (await codecs(source, variable)).find((name) => UNREADABLE.test(name))
  if (codec !== undefined) throw new DataError(`they are compressed with ${codec}; this page reads zstd and gzip`)
  const array = await zarr.open.v3(root.resolve(variable), { kind: 'array' })
  const time = await zarr.get(await zarr.open.v3(root.resolve('time'), { kind: 'array' }))
  const years = Array.from((time as { data: ArrayLike<number | bigint> }).data, Number)
  const [times, bands, height, width] = array.chunks as [number, number, number, number]
  const offset = [window.y0 / height, window.x0 / width]
  if (array.shape.length !== 4 || array.dtype !== 'int8') throw new DataError('they are not int8 codes of (time, band, y, x)')
  if (times !== 1 || bands <= Math.max(...BANDS)) throw new DataError('a chunk does not hold one year of all bands')
  if (!offset.every(Number.isInteger)) throw new DataError('the run does not begin where a chunk of the mosaic begins')
  const store = threeBands(array as zarr.Array<'int8', zarr.Readable>, grid, offset as [number, number])
  return { raster: Raster.of(store, grid), years }
}

/** Names of all codecs of an array, those within shards too. */
async function codecs(source: zarr.AsyncReadable, variable: string): Promise<string[]> {
  const bytes = await source.get(`/${variable}/zarr.json`)
  const names = (found: unknown): string[] =>
    (Array.isArray(found) ? (found as Codec[]) : []).flatMap(({ name, configuration }) => [name, ...names(configuration?.codecs)])
  return bytes ? names((JSON.parse(new TextDecoder().decode(bytes)) as { codecs?: unknown }).codecs) : []
}

type Codec = { name: string; configuration?: { codecs?: unknown } }

const ARRAY = {
  zarr_format: 3, node_type: 'array', attributes: {}, codecs: [{ name: 'bytes', configuration: { endian: 'little' } }],
  chunk_key_encoding: { name: 'default', configuration: { separator: '/' } },
} // prettier-ignore

function threeBands(array: zarr.Array<'int8', zarr.Readable>, grid: Grid, [rowOffset, colOffset]: [number, number]): zarr.AsyncReadable {
  const [, , height, width] = array.chunks as [number, number, number, number]
  const regular = { name: 'regular', configuration: { chunk_shape: [1, BANDS.length, height, width] } }
  const axis = (name: string, length: number): Record<string, unknown> => ({
    ...ARRAY, data_type: 'int32', fill_value: 0, shape: [length], dimension_names: [name],
    chunk_grid: { name: 'regular', configuration: { chunk_shape: [length] } },
  }) // prettier-ignore
  const metadata: Record<string, unknown> = {
    '/time/zarr.json': axis('time', array.shape[0]!), // zarr-layer asks for them; places on them are given by index
    '/band/zarr.json': axis('band', BANDS.length),
    '/zarr.json': { zarr_format: 3, node_type: 'group', attributes: {} },
    [`/${RGB}/zarr.json`]: {
      ...ARRAY, data_type: 'int8', fill_value: -128, shape: [array.shape[0], BANDS.length, grid.height, grid.width],
      chunk_grid: regular, dimension_names: ['time', 'band', 'y', 'x'],
    },
  } // prettier-ignore
  return {
    async get(key) {
      const known = metadata[key]
      if (known) return new TextEncoder().encode(JSON.stringify(known))
      const [time, , row, col] = key.split('/').slice(3).map(Number) as [number, number, number, number]
      if (!key.startsWith(`/${RGB}/c/`)) return undefined
      const { data } = await array.getChunk([time, 0, row + rowOffset, col + colOffset])
      const pixels = height * width
      const bytes = new Uint8Array(BANDS.length * pixels)
      BANDS.forEach((band, i) => bytes.set(new Uint8Array(data.buffer, data.byteOffset + band * pixels, pixels), i * pixels))
      return bytes
    },
    async getRange() {
      return undefined // no chunk is in a shard
    },
  }
}
