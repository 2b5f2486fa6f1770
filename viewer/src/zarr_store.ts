// A Zarr group over HTTP: one request for all metadata, chunks decoded once, every failure told in words.

import * as zarr from 'zarrita'

/** Decoded bytes kept, of all arrays of a store. */
const CACHE_BYTES = 192 * 2 ** 20

export type Tell = (message: string) => void
export type Store = zarr.AsyncReadable

/** How many chunks are being read, of all stores. */
export const reading = { chunks: 0 }

/** Open the group at `url` (no slash at the end). `tell` hears of requests that failed for another reason than 404. */
export async function openStore(url: string, tell: Tell, cacheBytes = CACHE_BYTES): Promise<Store> {
  const absent = new Set<string>()
  const name = url.split('/').pop() ?? url
  const source = new zarr.FetchStore(url, {
    useSuffixRequest: true, // the index of a shard in one request instead of two
    async fetch(request: Request): Promise<Response> {
      if (absent.has(request.url)) return new Response(null, { status: 404 })
      const response = await fetch(request).catch((cause: unknown) => {
        if (!request.signal.aborted) tell(`Cannot reach ${name}: is the server running?`)
        throw cause
      })
      // S3 answers 403 for an object that is not there to those who may not list the bucket
      if (response.status === 404 || response.status === 403) {
        absent.add(request.url)
        return new Response(null, { status: 404 })
      }
      if (!response.ok) tell(`Cannot read a part of ${name}: the server answered ${response.status}`)
      return response
    },
  })
  const consolidated = await zarr.withMaybeConsolidatedMetadata(source, { format: 'v3' })
  return withChunkCache(zarr.withRangeCoalescing(consolidated), cacheBytes)
}

type AnyChunk = zarr.Chunk<zarr.DataType>

const withChunkCache = zarr.defineStoreExtension((_store: Store, most: number) => {
  const cache = new Map<string, { chunk: Promise<AnyChunk>; bytes: number }>()
  let held = 0
  const remember = zarr.defineArrayExtension((array) => ({
    async getChunk(coords: number[], options?: Parameters<typeof array.getChunk>[1]): Promise<AnyChunk> {
      const key = `${array.path} ${coords.join(' ')}`
      let entry = cache.get(key)
      if (entry) cache.delete(key) // to the end: the least recently used come first
      else {
        // without the caller's signal: the chunk serves whoever asks next
        const chunk = array.getChunk(coords, { ...options, signal: undefined })
        entry = { chunk, bytes: 0 }
        const fresh = entry
        reading.chunks += 1
        void chunk.catch(() => undefined).finally(() => (reading.chunks -= 1))
        chunk.then(
          (found) => {
            if (cache.get(key) !== fresh) return
            fresh.bytes = (found.data as unknown as { byteLength?: number }).byteLength ?? 0
            held += fresh.bytes
            for (const [old, { bytes }] of cache) {
              if (held <= most) break
              if (old === key || bytes === 0) continue
              cache.delete(old)
              held -= bytes
            }
          },
          () => cache.delete(key)
        )
      }
      cache.set(key, entry)
      return entry.chunk
    },
  }))
  return { arrayExtensions: [remember as zarr.ArrayExtension] }
})
