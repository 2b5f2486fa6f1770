// Three bands of the embeddings as red, green and blue. A chunk of the mosaic holds all its bands: the map gets a store that
// is made of three of them, over the window of the run.

import * as zarr from 'zarrita'
import { Raster, type Grid } from './raster'
import type { Window } from './run'
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

/** The mosaic at `url` (with a slash at the end), or null where it has not the public layout. */
export async function openEmbeddings(url: string, variable: string, window: Window, grid: Grid, tell: Tell): Promise<Embeddings | null> {
  const source = await openStore(url.replace(/\/$/, ''), tell, CACHE_BYTES)
  const root = zarr.root(source)
  const array = await zarr.open.v3(root.resolve(variable), { kind: 'array' })
  const time = await zarr.get(await zarr.open.v3(root.resolve('time'), { kind: 'array' }))
  const years = Array.from((time as { data: ArrayLike<number | bigint> }).data, Number)
  const [times, bands, height, width] = array.chunks as [number, number, number, number]
  const offset = [window.y0 / height, window.x0 / width]
  const fits = times === 1 && bands > Math.max(...BANDS) && offset.every(Number.isInteger)
  if (array.shape.length !== 4 || array.dtype !== 'int8' || !fits) return null
  const store = threeBands(array as zarr.Array<'int8', zarr.Readable>, grid, offset as [number, number])
  return { raster: Raster.of(store, grid), years }
}

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
