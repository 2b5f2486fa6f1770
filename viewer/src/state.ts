// What the person chose, in one value; it is in the address, so that a view can be sent to somebody.

export interface View {
  lon: number
  lat: number
  zoom: number
}

export interface State {
  /** Id of a layer choice. */
  layer: string
  /** Year of the annual layers. */
  year: number
  /** The other year of a comparison, shown on the left. */
  compare: number | null
  opacity: number
  /** Whether layers of changes show what was mapped alone. */
  mapped: boolean
  /** Limits of the colours; null: the layer's own. */
  limits: [number, number] | null
  outlines: boolean
  zones: boolean
  kinds: string[] | null
  from: number | null
  to: number | null
  /** Hectares. */
  minArea: number
  minScore: number
  /** The place asked about. */
  at: [number, number] | null
  change: number | null
  view: View | null
}

export const START: State = {
  layer: '', year: 0, compare: null, opacity: 1, mapped: true, limits: null, outlines: true, zones: true, kinds: null, from: null, to: null,
  minArea: 0, minScore: 0, at: null, change: null, view: null,
} // prettier-ignore

export type Listener = (state: State, before: State) => void

/** Holds the state and tells of every change. */
export class Store {
  private listeners: Listener[] = []
  constructor(private current: State) {}

  get state(): State {
    return this.current
  }

  set(change: Partial<State>): void {
    const before = this.current
    this.current = { ...before, ...change }
    for (const listener of this.listeners) listener(this.current, before)
  }

  on(listener: Listener): void {
    this.listeners.push(listener)
  }
}

/** Limits of what the address may say. */
export interface Allowed {
  layers: string[]
  years: number[]
  kinds: string[]
}

/** State as the part of an address after #. */
export function toHash(state: State): string {
  const { view } = state
  const parts: [string, string | null][] = [
    ['map', view && [view.zoom.toFixed(2), view.lat.toFixed(5), view.lon.toFixed(5)].join('/')],
    ['layer', state.layer],
    ['year', String(state.year)],
    ['compare', state.compare === null ? null : String(state.compare)],
    ['opacity', state.opacity === 1 ? null : String(state.opacity)],
    ['mapped', state.mapped ? null : 'off'],
    ['limits', state.limits && state.limits.map((limit) => Number(limit.toPrecision(4))).join('~')],
    ['outlines', state.outlines ? null : 'off'],
    ['zones', state.zones ? null : 'off'],
    ['kinds', state.kinds && state.kinds.join('~')],
    ['from', state.from === null ? null : String(state.from)],
    ['to', state.to === null ? null : String(state.to)],
    ['area', state.minArea ? String(state.minArea) : null],
    ['score', state.minScore ? String(state.minScore) : null],
    ['at', state.at && state.at.map((degrees) => degrees.toFixed(6)).join('~')],
    ['change', state.change === null ? null : String(state.change)],
  ]
  const kept = parts.filter((part): part is [string, string] => part[1] !== null)
  return kept.map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll('%2F', '/')}`).join('&')
}

/** What an address says, as far as it makes sense: everything is a number in range or one of the allowed names. */
export function fromHash(hash: string, allowed: Allowed): Partial<State> {
  const said = new URLSearchParams(hash.replace(/^#/, ''))
  const state: Partial<State> = {}
  const number = (name: string, low: number, high: number): number | null => {
    const text = said.get(name)
    const value = text === null || text.trim() === '' ? NaN : Number(text)
    return value >= low && value <= high ? value : null
  }
  const numbers = (name: string, mark: string): number[] => (said.get(name) ?? '').split(mark).map((part) => (part ? Number(part) : NaN))
  const layer = said.get('layer')
  if (layer !== null && allowed.layers.includes(layer)) state.layer = layer
  const year = number('year', -Infinity, Infinity)
  if (year !== null && allowed.years.includes(year)) state.year = year
  const compare = number('compare', -Infinity, Infinity)
  state.compare = compare !== null && allowed.years.includes(compare) ? compare : null
  state.opacity = number('opacity', 0, 1) ?? 1
  state.mapped = said.get('mapped') !== 'off'
  const [low, high] = numbers('limits', '~')
  state.limits = Number.isFinite(low) && Number.isFinite(high) && low! < high! ? [low!, high!] : null
  state.outlines = said.get('outlines') !== 'off'
  state.zones = said.get('zones') !== 'off'
  state.kinds = said.has('kinds') ? said.get('kinds')!.split('~').filter((kind) => allowed.kinds.includes(kind)) : null
  state.from = number('from', allowed.years[0] ?? 0, allowed.years.at(-1) ?? 0)
  state.to = number('to', allowed.years[0] ?? 0, allowed.years.at(-1) ?? 0)
  state.minArea = number('area', 0, 1e9) ?? 0
  state.minScore = number('score', 0, 1e9) ?? 0
  const [lon, lat] = numbers('at', '~')
  state.at = isPlace(lon, lat) ? [lon!, lat!] : null
  state.change = number('change', 0, Number.MAX_SAFE_INTEGER)
  const [zoom, viewLat, viewLon] = numbers('map', '/')
  if (isPlace(viewLon, viewLat) && zoom! >= 0 && zoom! <= 24) state.view = { zoom: zoom!, lat: viewLat!, lon: viewLon! }
  return state
}

const isPlace = (lon: number | undefined, lat: number | undefined): boolean =>
  Math.abs(lon ?? NaN) <= 360 && Math.abs(lat ?? NaN) <= 90
