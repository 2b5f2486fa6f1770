// The page put together: state in the middle, the map and the panels around it.

import type * as maplibregl from 'maplibre-gl'
import { NavigationControl, ScaleControl } from 'maplibre-gl'
import { Compare } from './compare'
import { el } from './dom'
import { openEmbeddings } from './embeddings'
import { EMBEDDINGS, layerChoices, type LayerChoice } from './layers'
import { mappedOnly } from './mapped'
import { CHANGES, createMap, showOutlines, zoneAt } from './map'
import { attributionText, frame } from './page'
import { savePicture } from './picture'
import { Raster, type Bounds } from './raster'
import { minZoom, RasterLayer } from './raster_layer'
import { readRun, type Change, type Run } from './run'
import { readSettings } from './settings'
import { fromHash, START, Store, toHash, type Allowed, type State } from './state'
import { spreadOf } from './statistics'
import type { Status } from './status'
import { ChangeList } from './ui/change_list'
import { Details, type Attributes } from './ui/details'
import { FilterPanel } from './ui/filter_panel'
import { LayerPanel } from './ui/layer_panel'
import { Legend } from './ui/legend'
import { YearBar } from './ui/year_bar'

/** Read the run and build the page; `announce` is told the map as soon as there is one. */
export async function start(status: Status, announce: (map: maplibregl.Map) => void): Promise<void> {
  const settings = await readSettings()
  const run = await readRun(settings.output)
  const opening = run.decision === null ? null : Raster.open(run.decision, 'changed', status.error).catch(() => null)
  const raster = await Raster.open(run.scores, 'change_score', status.error)
  let note = ''
  const embeddings = settings.mosaic && run.window
    ? await openEmbeddings(settings.mosaic, settings.variable, run.window, raster.grid, status.error).catch((cause: Error) => {
      note = `The embeddings are not shown: ${cause.message}.`
      return null
    })
    : null // prettier-ignore
  const decision = await opening
  const mapped = mappedOnly(raster, decision)
  const choices = [...layerChoices(run, mapped !== null), ...(embeddings ? [EMBEDDINGS] : [])]
  const ofMapped = new Set(choices.map((choice) => choice.mapped))
  const rasterOf = (choice: LayerChoice): Raster => {
    if (choice === EMBEDDINGS && embeddings) return embeddings.raster
    return mapped && ofMapped.has(choice) ? mapped : raster
  }
  const choiceOf = (state: State): LayerChoice => {
    const choice = choices.find(({ id }) => id === state.layer)!
    return (state.mapped && choice.mapped) || choice
  }
  const timeOf = (choice: LayerChoice, year: number): number =>
    (choice === EMBEDDINGS && embeddings ? embeddings.years : run.years).indexOf(year)
  const allowed: Allowed = { layers: choices.map(({ id }) => id), years: run.years, kinds: kindsOf(run) }
  const first: State = { ...START, layer: choices[0]!.id, year: run.years.at(-1)! }
  const store = new Store({ ...first, ...fromHash(location.hash, allowed) })

  const page = frame(run, settings, status)
  const map = createMap(page.map, settings, run)
  status.work('start', true)
  announce(map)
  map.addControl(new NavigationControl({ showCompass: false }), 'top-right')
  map.addControl(new ScaleControl({ maxWidth: 120 }), 'bottom-right')
  map.on('error', ({ error }) => status.error(`Cannot draw a part of the map: ${error.message}`))

  const layer = new RasterLayer(map, rasterOf)
  const compare = new Compare(page.stage, map, (container) => {
    const other = createMap(container, settings, run)
    return { map: other, layer: new RasterLayer(other, rasterOf) }
  })
  const legend = new Legend(store)
  const panels = [
    new LayerPanel(choices, run.years, store, legend, (year) => store.set(annualChange(store.state, { compare: year }, choices)), note),
    new FilterPanel(allowed.kinds, run.years, store),
    new ChangeList(run, (change) => flyTo(map, store, change)),
  ]
  const chooseYear = (year: number): void => store.set(annualChange(store.state, { year }, choices))
  const bar = new YearBar(run.years, choices, store, chooseYear, () => !status.isBusy)
  const details = new Details(run, raster, decision, store)
  const save = async (): Promise<void> => {
    const choice = choiceOf(store.state)
    const limits = store.state.limits ?? (await spreadOf(rasterOf(choice), choice)).limits
    const title = [choice.label, choice.annual ? yearsShown(store.state) : '', 'terradrift'].filter(Boolean).join(', ')
    await savePicture(map, compare.picture, { title, choice, limits, attribution: attributionText(run, settings) })
  }
  const saveFailed = (cause: unknown): void => status.error(`Cannot save the picture: ${String((cause as Error).message ?? cause)}`)
  page.actions.append(el('button', { type: 'button', onclick: () => void save().catch(saveFailed) }, 'Save picture'))
  page.panels.append(...panels.map(({ element }) => element))
  page.bar.append(bar.element)
  page.stage.append(details.element)
  map.resize() // the year bar has taken its height
  showView(map, store.state, run.bounds ?? raster.lonLatBounds)

  let turn = 0
  const show = async (state: State, mine: number): Promise<void> => {
    const choice = choiceOf(state)
    for (const panel of [...panels, bar]) panel.show(state)
    const spread = await spreadOf(rasterOf(choice), choice)
    if (mine !== turn) return // something else was asked for in between
    legend.show(choice, spread, state)
    showOutlines(map, state)
    const limits = state.limits ?? spread.limits
    await Promise.all([
      layer.show(choice, Math.max(timeOf(choice, state.year), 0), limits, state.opacity),
      compare.show(state, choice, state.compare === null ? -1 : timeOf(choice, state.compare), limits),
    ])
    const least = minZoom(rasterOf(choice), choice)
    const tooFar = choice === EMBEDDINGS ? 'Zoom in to see the embeddings.' : 'Zoom in to see the raster: it has no overviews.'
    status.hint(map.getZoom() < least ? tooFar : '')
  }
  const fail = (cause: unknown): void => status.error(`Cannot show this layer: ${cause instanceof Error ? cause.message : String(cause)}`)
  const update = async (state: State): Promise<void> => {
    const mine = ++turn
    status.work('raster', true)
    await show(state, mine).catch(fail)
    if (mine === turn) status.work('raster', false)
  }
  const tell = (state: State): void => {
    const year = choiceOf(state).annual ? state.year : null
    const told = details.show(state, year, changeAt(map, run, state), zoneAt(map, state.at))
    void told.then(() => uncover(map, details.element, state.at))
  }
  store.on((state, before) => {
    if (Object.keys(state).some((name) => name !== 'view' && state[name as keyof State] !== before[name as keyof State]))
      void update(state)
    if (state.at !== before.at || state.change !== before.change || (state.at && (state.year !== before.year || state.layer !== before.layer)))
      tell(state)
  })
  keepInAddress(map, store, allowed, first)
  await new Promise((resolve) => map.once('load', resolve))
  askOnClick(map, store)
  await update(store.state)
  status.work('start', false)
  tell(store.state)
  map.on('zoomend', () => void update(store.state))
}

/** Another year, of the annual layer shown or else of the first there is. */
function annualChange(state: State, change: Partial<State>, choices: LayerChoice[]): Partial<State> {
  const shown = choices.find(({ id }) => id === state.layer)
  const annual = choices.find((choice) => choice.annual)
  if (shown?.annual || !annual || change.compare === null) return change
  return { ...change, layer: annual.id, limits: null }
}

const yearsShown = ({ year, compare }: State): string => (compare === null ? String(year) : `${compare} and ${year}`)

function kindsOf(run: Run): string[] {
  const kinds = run.detector === 'trajectory' ? ['step', 'ramp', 'blip', 'unconfirmed'] : []
  return kinds.filter((kind) => kind !== 'blip' || run.largest.some((change) => change.kind === 'blip'))
}

function showView(map: maplibregl.Map, { view }: State, [west, south, east, north]: Bounds): void {
  if (view) map.jumpTo({ center: [view.lon, view.lat], zoom: view.zoom })
  else map.fitBounds([[west, south], [east, north]], { animate: false, padding: 40 }) // prettier-ignore
}

const isCalm = (): boolean => matchMedia('(prefers-reduced-motion: reduce)').matches

/** Where the details are as wide as the map, as on a phone, and lie over their place: move the map until it is seen above them. */
function uncover(map: maplibregl.Map, panel: HTMLElement, at: State['at']): void {
  const [stage, box] = [map.getContainer().getBoundingClientRect(), panel.getBoundingClientRect()]
  if (!at || box.width < 0.8 * stage.width) return
  const [y, top] = [map.project(at).y, box.top - stage.top]
  if (y > top) map.panBy([0, y - top / 2], { duration: isCalm() ? 0 : 300 })
}

function flyTo(map: maplibregl.Map, store: Store, change: Change): void {
  const zoom = Math.max(map.getZoom(), 14.5)
  map.flyTo({ center: [change.lon, change.lat], zoom, duration: isCalm() ? 0 : 1200 })
  store.set({ at: [change.lon, change.lat], change: change.change_id })
}

function askOnClick(map: maplibregl.Map, store: Store): void {
  map.on('click', ({ point, lngLat }) => {
    const found = map.getLayer('change-area') ? map.queryRenderedFeatures(point, { layers: ['change-area'] }) : []
    const id: unknown = found[0]?.properties.change_id
    store.set({ at: [lngLat.lng, lngLat.lat], change: typeof id === 'number' ? id : null })
  })
  if (map.getLayer('change-area')) {
    map.on('mouseenter', 'change-area', () => (map.getCanvas().style.cursor = 'pointer'))
    map.on('mouseleave', 'change-area', () => (map.getCanvas().style.cursor = ''))
  }
}

/** What is known of the chosen change: from the tiles in view, else from the list of the largest. */
function changeAt(map: maplibregl.Map, run: Run, { change }: State): Attributes | null {
  if (change === null) return null
  const inList = run.largest.find(({ change_id: id }) => id === change)
  const drawn = map.getSource(CHANGES)
    ? map.querySourceFeatures(CHANGES, { sourceLayer: CHANGES, filter: ['==', ['get', 'change_id'], change] })[0]?.properties
    : undefined
  return drawn ?? (inList ? { ...inList, year_first: inList.year } : { change_id: change })
}

function keepInAddress(map: maplibregl.Map, store: Store, allowed: Allowed, first: State): void {
  let written = ''
  map.on('moveend', () => {
    const { lng, lat } = map.getCenter()
    store.set({ view: { lon: lng, lat, zoom: map.getZoom() } })
  })
  store.on((state) => {
    written = '#' + toHash(state)
    history.replaceState(null, '', written)
  })
  addEventListener('hashchange', () => {
    if (location.hash === written) return
    const state = { ...first, ...fromHash(location.hash, allowed) }
    if (state.view) map.jumpTo({ center: [state.view.lon, state.view.lat], zoom: state.view.zoom })
    store.set(state)
  })
}
