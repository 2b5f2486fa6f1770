// Levels that end together. An odd number of rows is halved upwards, so a coarser level ends a little beyond the finest one, but
// zarr-layer 0.5 stretches every level over the same bounds. So all are said to reach as far as the coarsest: chunks are whole in
// any case, and those beyond the data are not there.

import * as zarr from 'zarrita'

export interface Extent {
  height: number
  width: number
}

/** The extent, in pixels of the first level, that all levels share; `factors`: pixels of the first level across one of each. */
export function sharedExtent({ height, width }: Extent, factors: number[]): Extent {
  const most = Math.max(...factors)
  return { height: Math.ceil(height / most) * most, width: Math.ceil(width / most) * most }
}

/** The store with all rasters below `assets` (path of a level: its factor) as large as `extent`. */
export const withSharedExtent = zarr.defineStoreExtension((store, { extent, assets }: { extent: Extent; assets: Map<string, number> }) => ({
  async get(key: zarr.AbsolutePath, options?: zarr.GetOptions): Promise<Uint8Array | undefined> {
    const bytes = await store.get(key, options)
    const [, asset = '', , file] = key.split('/')
    const factor = file === 'zarr.json' ? assets.get(asset) : undefined
    if (!bytes || factor === undefined) return bytes
    const metadata = JSON.parse(new TextDecoder().decode(bytes)) as { shape?: number[]; dimension_names?: string[] }
    if (!metadata.shape || metadata.dimension_names?.slice(-2).join() !== 'y,x') return bytes
    metadata.shape.splice(-2, 2, extent.height / factor, extent.width / factor)
    return new TextEncoder().encode(JSON.stringify(metadata))
  },
}))
