// The place asked about: the change there, the pixel's own numbers, its years as a chart.

import { el, fill } from '../dom'
import { bandLabel, bandUnit, KINDS } from '../layers'
import type { Raster } from '../raster'
import type { Run } from '../run'
import type { State, Store } from '../state'
import { chart, type Line } from './chart'
import { hectares } from './change_list'

const LINE_COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7']

/** Attributes of a change, as the vector tiles or the list of the largest have them. */
export type Attributes = Record<string, unknown>

export class Details {
  readonly element = el('aside', { class: 'details', 'aria-label': 'The place asked about', hidden: true, tabindex: -1 })
  private readonly body = el('div', { class: 'body', 'aria-live': 'polite' })
  private asked = 0

  /** `decision`: where it is known what was mapped. */
  constructor(
    private readonly run: Run,
    private readonly raster: Raster,
    private readonly decision: Raster | null,
    private readonly store: Store
  ) {
    const close = el('button', { type: 'button', class: 'close', 'aria-label': 'Close', onclick: () => this.close() }, '\u00d7')
    fill(this.element, close, this.body)
    this.element.addEventListener('keydown', (event) => event.key === 'Escape' && this.close())
  }

  close(): void {
    this.store.set({ at: null, change: null })
    document.querySelector<HTMLElement>('.maplibregl-canvas')?.focus()
  }

  /** Show the place of the state, the change and the zone that are there; `year` is what the map shows, null where that has no years. */
  async show({ at }: State, year: number | null, change: Attributes | null, zone: string | null): Promise<void> {
    const turn = ++this.asked
    this.element.hidden = at === null
    if (at === null) return fill(this.body)
    const [lon, lat] = at
    const place = `${lat.toFixed(5)}, ${lon.toFixed(5)}`
    const head = [el('h2', {}, change ? `Change ${String(change.change_id)}` : 'Pixel'), el('p', { class: 'unit' }, place)]
    const facts = [...(change ? [attributes(change)] : []), ...(zone === null ? [] : [list([['Zone', zone]])])]
    fill(this.body, ...head, ...facts, el('p', { class: 'unit' }, 'Reading\u2026'))
    const pixel = this.raster.pixelAt(lon, lat)
    try {
      const found = pixel ? await this.pixel(pixel.row, pixel.col, place, year) : [el('p', {}, 'Outside the area that was scored.')]
      if (turn === this.asked) fill(this.body, ...head, ...facts, ...found)
    } catch (cause) {
      if (turn === this.asked) fill(this.body, ...head, ...facts, el('p', { class: 'error' }, `Cannot read this pixel: ${String((cause as Error).message ?? cause)}`))
    }
  }

  private async pixel(row: number, col: number, place: string, year: number | null): Promise<HTMLElement[]> {
    const { years, bands } = this.run
    const names = ['change_score', 'change_effect', 'change_year', 'change_kind']
    const [series, mapped, ...values] = await Promise.all([
      bands.length ? this.raster.valuesAt('scores', row, col) : [],
      this.decision?.valuesAt('changed', row, col) ?? [],
      ...names.map((name) => this.raster.valuesAt(name, row, col)),
    ])
    const [score, effect, changed, kind] = values.map(([value]) => value ?? NaN) as [number, number, number, number]
    if (!Number.isFinite(score)) return [el('p', {}, 'No data at this pixel.')]
    const known = KINDS[kind]
    const facts: [string, string][] = [
      ['Change score here', score.toPrecision(3)],
      ['Size here', effect.toPrecision(3)],
      ['Year here', changed > 0 ? String(changed) : 'none'],
    ]
    if (known !== undefined) facts.push(['Kind here', known])
    if (mapped[0] !== undefined) facts.push(['Mapped as change', mapped[0] === 1 ? 'yes' : 'no'])
    const lines: Line[] = bands.map((name, band) => ({
      label: `${bandLabel(name)}, ${bandUnit(name)}`,
      colour: LINE_COLOURS[band % LINE_COLOURS.length]!,
      values: years.map((_, time) => series[time * bands.length + band] ?? NaN),
    }))
    return [list(facts), ...(bands.length ? [chart(`Annual scores at ${place}`, years, lines, year)] : [])]
  }
}

const LABELS: [string, string, (value: number) => string][] = [
  ['year_first', 'Year', String],
  ['area_m2', 'Area', (value) => `${hectares(value)} ha`],
  ['effect_mean', 'Size (cosine distance)', (value) => value.toFixed(3)],
  ['score_max', 'Highest score', (value) => value.toPrecision(3)],
]

function attributes(change: Attributes): HTMLElement {
  const facts: [string, string][] = typeof change.kind === 'string' ? [['Kind', change.kind]] : []
  for (const [name, label, format] of LABELS) {
    const value = change[name]
    if (typeof value === 'number') facts.push([label, format(value)])
  }
  return list(facts)
}

function list(facts: [string, string][]): HTMLElement {
  return el('dl', {}, ...facts.flatMap(([label, value]) => [el('dt', {}, label), el('dd', {}, value)]))
}
