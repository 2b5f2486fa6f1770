// Arrays of the scores where the run mapped a change, no data elsewhere: each chunk is made of two when it is read.

import * as zarr from 'zarrita'
import type { Raster } from './raster'

/** The scores, their arrays (y, x) limited to where `changed` of the decision is 1; null where the two have not the same levels. */
export function mappedOnly(scores: Raster, decision: Raster | null): Raster | null {
  if (decision?.levels.join() !== scores.levels.join()) return null
  const arrays = async (path: string): Promise<[AnyArray, AnyArray]> => {
    const [asset, name] = path.slice(1).split('/') as [string, string]
    const level = scores.levels.indexOf(asset)
    const [values, changed] = await Promise.all([scores.array(name, level), decision.array('changed', level)])
    if (!values || !changed || values.chunks.join() !== changed.chunks.join())
      throw new Error(`found no mapped pixels for ${name} of level ${asset}`)
    return [values, changed]
  }
  const store: zarr.AsyncReadable = {
    async get(key) {
      const [path, place] = key.split('/c/') as [string, string?]
      if (place !== undefined) {
        const at = place.split('/').map(Number)
        const [values, changed] = await arrays(path)
        const [{ data }, mapped] = await Promise.all([values.getChunk(at), changed.getChunk(at)])
        return keep(data as Numbers, mapped.data as Numbers, Number(values.fillValue))
      }
      const bytes = await scores.store.get(key)
      const metadata = bytes && (JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>)
      if (metadata?.node_type !== 'array') return bytes
      const [values] = await arrays(key.replace(/\/zarr\.json$/, ''))
      const chunks = { name: 'regular', configuration: { chunk_shape: values.chunks } }
      return new TextEncoder().encode(JSON.stringify({ ...metadata, codecs: PLAIN, chunk_grid: chunks }))
    },
    async getRange() {
      return undefined // no chunk is in a shard
    },
  }
  return scores.over(store)
}

type AnyArray = NonNullable<Awaited<ReturnType<Raster['array']>>>
type Numbers = Int16Array | Uint8Array | Float32Array

const PLAIN = [{ name: 'bytes', configuration: { endian: 'little' } }]

function keep(data: Numbers, mapped: Numbers, none: number): Uint8Array {
  const kept = data.slice()
  for (let i = 0; i < kept.length; i++) if (mapped[i] !== 1) kept[i] = none
  return new Uint8Array(kept.buffer)
}
