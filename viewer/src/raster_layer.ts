// The raster on one map: a zarr-layer of the array that is shown, made anew when another array is.

import { ZarrLayer } from '@carbonplan/zarr-layer'
import type { Map as MapLibre } from 'maplibre-gl'
import { BANDS } from './embeddings'
import { EMBEDDINGS, type LayerChoice } from './layers'
import type { Raster } from './raster'
import { hex } from './ramps'
import { reading } from './zarr_store'

export const RASTER = 'raster'

/** Level 0 alone of a raster wider than this is not drawn when zoomed out: it would be read whole. */
const WIDE = 6144

// One colour of the table for each value, without blending between colours: a pixel shows what the legend says.
const continuous = (name: string): string => `
  float at = floor(clamp((${name} - clim.x) / (clim.y - clim.x), 0.0, 1.0) * u_last + 0.5);
  fragColor = vec4(texture(colormap, vec2((at + 0.5) / (u_last + 1.0), 0.5)).rgb, 1.0) * opacity;`
const categorical = (name: string): string => `
  float at = floor(${name} + 0.5) - u_first;
  if (at < 0.0 || at > u_last) discard;
  fragColor = vec4(texture(colormap, vec2((at + 0.5) / (u_last + 1.0), 0.5)).rgb, 1.0) * opacity;`

// Values of signed_square codes, stretched from -0.3 to 0.3.
const FALSE_COLOUR = `
  vec3 code = vec3(band_0, band_1, band_2) / 127.5;
  fragColor = vec4(clamp((sign(code) * code * code + 0.3) / 0.6, 0.0, 1.0), 1.0) * opacity;`

const ANY_COLOUR = ['#000000', '#ffffff'] // zarr-layer asks for some

export class RasterLayer {
  private layer: ZarrLayer | null = null
  private shown: LayerChoice | null = null
  private opening = false

  /** `rasterOf` gives the raster that has the array of a choice. */
  constructor(private readonly map: MapLibre, private readonly rasterOf: (choice: LayerChoice) => Raster) {}

  /** Show `choice` at `time`, an index of the years; done when it is drawn. */
  async show(choice: LayerChoice, time: number, limits: [number, number], opacity: number): Promise<void> {
    if (this.layer && this.shown === choice) {
      this.layer.setClim(limits)
      this.layer.setOpacity(opacity)
      await this.layer.setSelector(selector(choice, time))
    } else this.add(choice, time, limits, opacity)
    do {
      await nextFrame(this.map)
      await nextFrame(this.map)
    } while (this.opening || reading.chunks > 0)
  }

  private add(choice: LayerChoice, time: number, limits: [number, number], opacity: number): void {
    this.remove()
    this.shown = choice
    const raster = this.rasterOf(choice)
    this.layer = new ZarrLayer({
      id: RASTER,
      source: 'scores',
      store: raster.store,
      variable: choice.variable,
      zarrVersion: 3,
      bounds: raster.sharedBounds,
      ...crsOptions(raster.grid.crs),
      latIsAscending: raster.grid.dy > 0,
      selector: selector(choice, time),
      colormap: choice.colours.length ? choice.colours.map(hex) : ANY_COLOUR,
      clim: limits,
      opacity,
      customFrag: shader(choice),
      uniforms: { u_last: Math.max(choice.colours.length - 1, 1), u_first: choice.categories?.[0]?.value ?? 0 },
      minzoom: minZoom(raster, choice),
      renderingMode: '2d',
      onLoadingStateChange: ({ metadata }) => (this.opening = metadata),
    })
    const above = this.map.getStyle().layers.find(({ id }) => id !== 'paper' && id !== 'background' && id !== RASTER)
    this.map.addLayer(this.layer as never, above?.id)
  }

  remove(): void {
    if (this.layer && this.map.getLayer(RASTER)) this.map.removeLayer(RASTER)
    this.layer = null
    this.shown = null
  }
}

/** Smallest zoom at which a layer is drawn: 0 where overviews keep the number of chunks in view small. */
export function minZoom(raster: Raster, choice: LayerChoice): number {
  const coarsest = raster.grid.width / raster.factors.at(-1)!
  const heavy = choice.id === EMBEDDINGS.id // its chunks hold all bands
  if (coarsest <= (heavy ? 512 : WIDE)) return 0
  const [west, , east] = raster.lonLatBounds
  return Math.log2((coarsest * 360) / (east - west) / 512) - (heavy ? 0.5 : 1)
}

function shader(choice: LayerChoice): string {
  if (choice.colours.length === 0) return FALSE_COLOUR
  return choice.categories ? categorical(choice.variable) : continuous(choice.variable)
}

function nextFrame(map: MapLibre): Promise<void> {
  return new Promise((resolve) => {
    map.once('render', () => resolve())
    map.triggerRepaint()
  })
}

function selector(choice: LayerChoice, time: number): Record<string, { selected: number | number[]; type: 'index' }> {
  // by index: by value zarr-layer 0.5 looks for coordinates where there may be none
  if (choice.id === EMBEDDINGS.id) return { time: { selected: time, type: 'index' }, band: { selected: BANDS.map((_, i) => i), type: 'index' } }
  if (choice.band === null) return {}
  return { time: { selected: time, type: 'index' }, band: { selected: choice.band, type: 'index' } }
}

function crsOptions(crs: string): { crs?: string; proj4?: string } {
  return crs === 'EPSG:4326' || crs === 'EPSG:3857' ? { crs } : { proj4: crs }
}
