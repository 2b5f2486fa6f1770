// A Zarr group over HTTP: one request for all metadata, chunks decoded once, every failure told in words.

import * as zarr from 'zarrita'

/** Decoded bytes kept, of all arrays of a store. */
const CACHE_BYTES = 192 * 2 ** 20

/** A chunk that could not be read is shown as no data for so long, then asked for again if it is in view. */
const AGAIN_MS = 15_000

export type Tell = (message: string) => void
export type Store = zarr.AsyncReadable

/** How many chunks are being read, of all stores. */
export const reading = { chunks: 0 }

/** Open the group at `url` (no slash at the end). `tell` hears of requests that failed for another reason than 404. */
export async function openStore(url: string, tell: Tell, cacheBytes = CACHE_BYTES): Promise<Store> {
  const absent = new Set<string>()
  const name = url.split('/').pop() ?? url
  const near = new URL(url).origin === location.origin
  const source = new zarr.FetchStore(url, {
    // the index of a shard in one request instead of two; elsewhere such a range would need the server's leave first
    useSuffixRequest: near,
    async fetch(request: Request): Promise<Response> {
      if (absent.has(request.url)) return new Response(null, { status: 404 })
      if (near) request.headers.set('Prefer', 'absent=204') // a browser writes every 404 into its console as an error
      const response = await fetch(request).catch((cause: unknown) => {
        if (!request.signal.aborted) tell(`Cannot reach ${name}: is the server running?`)
        throw cause
      })
      // S3 answers 403 for an object that is not there to those who may not list the bucket
      if (response.status === 404 || response.status === 403 || response.status === 204) {
        absent.add(request.url)
        return new Response(null, { status: 404 })
      }
      if (!response.ok) tell(`Cannot read a part of ${name}: the server answered ${response.status}`)
      return response
    },
  })
  const consolidated = await zarr.withMaybeConsolidatedMetadata(source, { format: 'v3' })
  return withChunkCache(zarr.withRangeCoalescing(consolidated), { most: cacheBytes, tell, name })
}

type AnyChunk = zarr.Chunk<zarr.DataType>

const TYPES: Record<string, new (length: number) => { fill(value: number): unknown }> = {
  float32: Float32Array, int16: Int16Array, int32: Int32Array, int8: Int8Array, uint8: Uint8Array,
} // prettier-ignore

function noData(array: zarr.Array<zarr.DataType, zarr.Readable>): AnyChunk {
  const shape = array.chunks
  const data = new (TYPES[array.dtype] ?? Float32Array)(shape.reduce((a, b) => a * b, 1))
  data.fill(Number(array.fillValue ?? NaN))
  const stride = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1))
  return { data, shape, stride } as unknown as AnyChunk
}

/** The words of the innermost error. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reason(error.cause) : error.message
}

const withChunkCache = zarr.defineStoreExtension((_store: Store, { most, tell, name }: { most: number; tell: Tell; name: string }) => {
  const cache = new Map<string, { chunk: Promise<AnyChunk>; bytes: number }>()
  let held = 0
  const forget = (key: string): void => {
    held -= cache.get(key)?.bytes ?? 0
    cache.delete(key)
  }
  const remember = zarr.defineArrayExtension((array) => ({
    async getChunk(coords: number[], options?: Parameters<typeof array.getChunk>[1]): Promise<AnyChunk> {
      const key = `${array.path} ${coords.join(' ')}`
      let entry = cache.get(key)
      if (entry) cache.delete(key) // to the end: the least recently used come first
      else {
        // without the caller's signal: the chunk serves whoever asks next
        const chunk = array.getChunk(coords, { ...options, signal: undefined }).catch((cause: unknown) => {
          tell(`Cannot read a part of ${name}: ${reason(cause)}`)
          setTimeout(() => forget(key), AGAIN_MS)
          return noData(array) // else zarr-layer asks again at once, for ever
        })
        entry = { chunk, bytes: 0 }
        const fresh = entry
        reading.chunks += 1
        void chunk.then((found) => {
          reading.chunks -= 1
          if (cache.get(key) !== fresh) return
          fresh.bytes = (found.data as unknown as { byteLength?: number }).byteLength ?? 0
          held += fresh.bytes
          for (const [old, { bytes }] of cache) {
            if (held <= most) break
            if (old === key || bytes === 0) continue
            forget(old)
          }
        })
      }
      cache.set(key, entry)
      return entry.chunk
    },
  }))
  return { arrayExtensions: [remember as zarr.ArrayExtension] }
})
