// A georeferenced raster store: its grid, its levels, the values of one pixel, and samples for limits.

import proj4 from 'proj4'
import * as zarr from 'zarrita'
import { sharedExtent, withSharedExtent, type Extent } from './levels'
import { DataError } from './settings'
import { openStore, type Store, type Tell } from './zarr_store'

export type Bounds = [number, number, number, number]
type AnyArray = zarr.Array<zarr.DataType, Store>

export interface Grid {
  /** Upper left corner of the first pixel, and the pixel's size (height below 0: north is up), in units of the CRS. */
  x: number
  y: number
  dx: number
  dy: number
  width: number
  height: number
  /** EPSG:4326, EPSG:3857, or what proj4 reads. */
  crs: string
}

export class Raster {
  private constructor(
    readonly store: Store,
    readonly grid: Grid,
    /** Paths of the levels, finest first; '' where the arrays lie at the root. */
    readonly levels: string[],
    /** Pixels of the finest level across one of each. */
    readonly factors: number[]
  ) {}

  /** Open the store at `url`; `probe` names an array of it. */
  static async open(url: string, probe: string, tell: Tell): Promise<Raster> {
    const store = await openStore(url, tell)
    const group = await zarr.open.v3(store, { kind: 'group' }).catch(() => {
      throw new DataError(`Cannot read ${url.split('/').pop()}: found no Zarr group`)
    })
    const attributes = group.attrs
    const layout = (attributes.multiscales as { layout?: { asset: string; 'spatial:transform'?: number[] }[] } | undefined)?.layout
    const first = layout?.[0]?.asset ?? ''
    const array = await zarr.open.v3(group.resolve(join(first, probe)), { kind: 'array' })
    const [height, width] = array.shape.slice(-2) as [number, number]
    const transform = (attributes['spatial:transform'] ?? array.attrs['spatial:transform']) as number[] | undefined
    if (!transform || transform.length < 6) throw new DataError('The raster has no spatial:transform')
    const [dx, , x, , dy, y] = transform as [number, number, number, number, number, number]
    const grid = { x, y, dx, dy, width, height, crs: await readCrs(group, first, attributes) }
    if (!layout?.length) return Raster.of(store, grid)
    const levels = layout.map(({ asset }) => asset)
    const factors = layout.map(({ 'spatial:transform': own }) => Math.round((own?.[0] ?? dx) / dx))
    const raster = new Raster(store, grid, levels, factors)
    const assets = new Map(levels.map((asset, i) => [asset, factors[i]!]))
    return raster.over(withSharedExtent(store, { extent: raster.extent, assets }))
  }

  /** A raster of a store that has one level, its arrays at the root. */
  static of(store: Store, grid: Grid): Raster {
    return new Raster(store, grid, [''], [1])
  }

  /** The same ground from another store. */
  over(store: Store): Raster {
    return new Raster(store, this.grid, this.levels, this.factors)
  }

  /** Pixels of the finest level that all levels reach over. */
  get extent(): Extent {
    return sharedExtent(this.grid, this.factors)
  }

  /** Edges of the data in units of the CRS. */
  get bounds(): Bounds {
    return this.edges(this.grid)
  }

  /** Edges of what all levels reach over. */
  get sharedBounds(): Bounds {
    return this.edges(this.extent)
  }

  private edges({ width, height }: Extent): Bounds {
    const { x, y, dx, dy } = this.grid
    return [x, y + dy * height, x + dx * width, y]
  }

  /** Edges in degrees. */
  get lonLatBounds(): Bounds {
    const [west, south, east, north] = this.bounds
    const corners = [[west, south], [west, north], [east, south], [east, north]].map((at) => this.toLonLat(at as [number, number]))
    const [lons, lats] = [corners.map(([lon]) => lon), corners.map(([, lat]) => lat)]
    return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)]
  }

  /** Row and column of the pixel at a place, or null outside. */
  pixelAt(lon: number, lat: number): { row: number; col: number } | null {
    const { x, y, dx, dy, width, height, crs } = this.grid
    const [px, py] = crs === 'EPSG:4326' ? [lon, lat] : proj4('EPSG:4326', crs, [lon, lat])
    const [col, row] = [Math.floor((px! - x) / dx), Math.floor((py! - y) / dy)]
    return row >= 0 && col >= 0 && row < height && col < width ? { row, col } : null
  }

  private toLonLat(at: [number, number]): [number, number] {
    return this.grid.crs === 'EPSG:4326' ? at : (proj4(this.grid.crs, 'EPSG:4326', at) as [number, number])
  }

  /** An array of a level, or null where the store has none of that name. */
  async array(name: string, level = 0): Promise<AnyArray | null> {
    try {
      return (await zarr.open.v3(zarr.root(this.store).resolve(join(this.levels[level] ?? '', name)), {
        kind: 'array',
      })) as AnyArray
    } catch (cause) {
      if (zarr.isZarritaError(cause)) return null
      throw cause
    }
  }

  /** Values of an array at one pixel of the finest level, its leading dimensions flat; NaN where no data. */
  async valuesAt(name: string, row: number, col: number): Promise<number[]> {
    const array = await this.array(name)
    if (!array) return []
    const leading = array.shape.slice(0, -2).map(() => null)
    const found = await zarr.get(array, [...leading, zarr.slice(row, row + 1), zarr.slice(col, col + 1)])
    return Array.from((found as { data: ArrayLike<number> }).data, (value) => (value === array.fillValue ? NaN : Number(value)))
  }

  /** Finite values of up to `most` chunks spread over the coarsest level; of arrays in time each of another year. */
  async sample(name: string, band: number, most = 9): Promise<Float32Array> {
    const array = await this.array(name, this.levels.length - 1)
    if (!array) return new Float32Array()
    const [height, width] = array.shape.slice(-2) as [number, number]
    const [chunkHeight, chunkWidth] = array.chunks.slice(-2) as [number, number]
    const [rows, cols] = [Math.ceil(height / chunkHeight), Math.ceil(width / chunkWidth)]
    const n = Math.min(most, rows * cols)
    const times = array.shape.length === 4 ? array.shape[0]! : 1
    const parts = await Promise.all(
      Array.from({ length: Math.max(n, Math.min(times, most)) }, async (_, k) => {
        const at = Math.floor(((k % n) + 0.5) * ((rows * cols) / n))
        const place = [Math.floor(at / cols), at % cols]
        const chunk = await array.getChunk(array.shape.length === 4 ? [k % times, band, ...place] : place)
        return finite(chunk.data as ArrayLike<number>, array.fillValue)
      })
    )
    const values = new Float32Array(parts.reduce((total, part) => total + part.length, 0))
    parts.reduce((at, part) => (values.set(part, at), at + part.length), 0)
    return values
  }
}

async function readCrs(group: zarr.Group<Store>, level: string, attributes: Record<string, unknown>): Promise<string> {
  const code = String(attributes['proj:code'] ?? '').toUpperCase()
  if (code === 'EPSG:4326' || code === 'EPSG:3857') return code
  const reference = await zarr.open.v3(group.resolve(join(level, 'spatial_ref')), { kind: 'array' }).catch(() => null)
  const definition = attributes['proj:wkt2'] ?? reference?.attrs.crs_wkt ?? ''
  try {
    proj4(String(definition), 'EPSG:4326', [0, 0])
    return String(definition)
  } catch {
    throw new DataError(`Cannot draw a raster in ${code || 'an unknown CRS'}`)
  }
}

function finite(data: ArrayLike<number>, fill: unknown): Float32Array {
  const kept = new Float32Array(data.length)
  let n = 0
  for (let i = 0; i < data.length; i++) {
    const value = Number(data[i])
    if (Number.isFinite(value) && value !== fill) kept[n++] = value
  }
  return kept.subarray(0, n)
}

const join = (folder: string, name: string): string => (folder ? `${folder}/${name}` : name)
