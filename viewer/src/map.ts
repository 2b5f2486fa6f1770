// The map: paper, background, raster, zones, outlines of the changes. No fonts, sprites or tiles from elsewhere.

import * as maplibregl from 'maplibre-gl'
import { Protocol } from 'pmtiles'
import { KIND_COLOURS, OTHER_KIND } from './ramps'
import type { Run } from './run'
import type { Settings } from './settings'
import type { State } from './state'

export const CHANGES = 'changes'
const OUTLINE_LAYERS = ['change-halo', 'change-line', 'change-area']
const PAPER = '#dfe4e8'

maplibregl.setWorkerUrl(new URL('map-worker.js', import.meta.url).href)
maplibregl.addProtocol('pmtiles', new Protocol().tile)

/** A map in `container`; it draws nothing but paper until it is told to. */
export function createMap(container: HTMLElement, settings: Settings, run: Run): maplibregl.Map {
  const map = new maplibregl.Map({
    container,
    style: style(settings, run),
    attributionControl: false, // the page shows it as plain text
    canvasContextAttributes: { preserveDrawingBuffer: true, antialias: false },
    maxZoom: 20,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    fadeDuration: 0,
    renderWorldCopies: false,
    cooperativeGestures: false,
  })
  map.touchZoomRotate.disableRotation()
  map.keyboard.disableRotation()
  return map
}

function style(settings: Settings, run: Run): maplibregl.StyleSpecification {
  const sources: maplibregl.StyleSpecification['sources'] = {}
  const layers: maplibregl.LayerSpecification[] = [{ id: 'paper', type: 'background', paint: { 'background-color': PAPER } }]
  if (settings.background) {
    sources.background = { type: 'raster', tiles: [settings.background], tileSize: 256 }
    layers.push({ id: 'background', type: 'raster', source: 'background' })
  }
  if (run.files.has('maps/zones.geojson')) {
    sources.zones = { type: 'geojson', data: `${run.maps}/zones.geojson` }
    layers.push({ id: 'zone-area', type: 'fill', source: 'zones', paint: { 'fill-opacity': 0 } })
    layers.push({
      id: 'zones', type: 'line', source: 'zones', paint: { 'line-color': '#3d4a55', 'line-width': 1.5, 'line-dasharray': [4, 3] },
    }) // prettier-ignore
  }
  if (run.files.has('maps/changes.pmtiles')) {
    sources[CHANGES] = { type: 'vector', url: `pmtiles://${run.maps}/changes.pmtiles` }
    const kind: maplibregl.ExpressionSpecification = ['match', ['get', 'kind'], ...Object.entries(KIND_COLOURS).flat(), OTHER_KIND] as never
    const common = { source: CHANGES, 'source-layer': CHANGES }
    layers.push(
      { id: 'change-area', type: 'fill', ...common, paint: { 'fill-color': '#ffffff', 'fill-opacity': 0 } },
      {
        id: 'change-halo', type: 'line', ...common,
        paint: { 'line-color': '#ffffff', 'line-width': ['interpolate', ['linear'], ['zoom'], 8, 0, 12, 2.5, 15, 4], 'line-opacity': 0.85 },
      },
      {
        id: 'change-line', type: 'line', ...common,
        paint: { 'line-color': kind, 'line-width': ['interpolate', ['linear'], ['zoom'], 8, 0.6, 12, 1.2, 15, 2] },
      },
      {
        id: 'change-chosen', type: 'line', ...common, filter: ['==', ['get', 'change_id'], -1],
        paint: { 'line-color': '#00e5ff', 'line-width': 4 },
      }
    ) // prettier-ignore
  }
  return { version: 8, sources, layers }
}

/** Show the outlines that the state asks for. */
export function showOutlines(map: maplibregl.Map, state: State): void {
  if (map.getLayer('zones')) map.setLayoutProperty('zones', 'visibility', state.zones ? 'visible' : 'none')
  if (!map.getLayer('change-line')) return
  for (const id of OUTLINE_LAYERS) {
    map.setLayoutProperty(id, 'visibility', state.outlines ? 'visible' : 'none')
    map.setFilter(id, changeFilter(state))
  }
  map.setFilter('change-chosen', ['==', ['get', 'change_id'], state.change ?? -1])
}

/** What the zone at a place is called, where one is in view. */
export function zoneAt(map: maplibregl.Map, at: State['at']): string | null {
  if (!at || !map.getLayer('zone-area')) return null
  const found = map.queryRenderedFeatures(map.project(at), { layers: ['zone-area'] })[0]?.properties
  if (!found) return null
  const name = Object.keys(found).find((key) => /^(name|title|label)$/i.test(key) && found[key] !== null)
  return String(name ? found[name] : found.zone)
}

/** The changes that the state asks for, as a filter of the map. */
export function changeFilter(state: State): maplibregl.FilterSpecification {
  const rules: unknown[] = []
  if (state.kinds) rules.push(['in', ['get', 'kind'], ['literal', state.kinds]])
  if (state.from !== null) rules.push(['>=', ['get', 'year_first'], state.from])
  if (state.to !== null) rules.push(['<=', ['get', 'year_first'], state.to])
  if (state.minArea) rules.push(['>=', ['get', 'area_m2'], state.minArea * 1e4])
  if (state.minScore) rules.push(['>=', ['get', 'score_max'], state.minScore])
  return ['all', ...rules] as maplibregl.FilterSpecification
}
