// Which changes are outlined: kinds, years, size, score.

import { el } from '../dom'
import { KIND_COLOURS, OTHER_KIND } from '../ramps'
import type { State, Store } from '../state'

export class FilterPanel {
  readonly element: HTMLElement
  private readonly outlines: HTMLInputElement
  private readonly zones: HTMLInputElement
  private readonly boxes: Map<string, HTMLInputElement>
  private readonly from: HTMLSelectElement
  private readonly to: HTMLSelectElement
  private readonly area: HTMLInputElement
  private readonly score: HTMLInputElement

  constructor(private readonly kinds: string[], years: number[], store: Store) {
    this.outlines = el('input', { type: 'checkbox', id: 'outlines', onchange: () => store.set({ outlines: this.outlines.checked }) })
    this.zones = el('input', { type: 'checkbox', id: 'zones', onchange: () => store.set({ zones: this.zones.checked }) })
    this.boxes = new Map(
      kinds.map((kind) => [kind, el('input', { type: 'checkbox', id: `kind-${kind}`, onchange: () => store.set({ kinds: this.chosen() }) })])
    )
    const year = (id: string, all: string, change: (value: number | null) => void): HTMLSelectElement => {
      const select = el(
        'select', { id, onchange: () => change(select.value === '' ? null : Number(select.value)) },
        el('option', { value: '' }, all),
        ...years.map((value) => el('option', { value }, String(value)))
      ) // prettier-ignore
      return select
    }
    this.from = year('from', 'first', (from) => store.set({ from }))
    this.to = year('to', 'last', (to) => store.set({ to }))
    const least = (id: string, step: number, change: (value: number) => void): HTMLInputElement => {
      const input = el('input', {
        type: 'number', id, min: 0, step, inputmode: 'decimal', onchange: () => change(Math.max(input.valueAsNumber || 0, 0)),
      }) // prettier-ignore
      return input
    }
    this.area = least('min-area', 0.1, (minArea) => store.set({ minArea }))
    this.score = least('min-score', 0.01, (minScore) => store.set({ minScore }))
    const clear = (): void => store.set({ kinds: null, from: null, to: null, minArea: 0, minScore: 0 })
    this.element = el(
      'section', { 'aria-labelledby': 'changes-title' },
      el('h2', { id: 'changes-title' }, 'Changes'),
      el('div', { class: 'row' }, el('label', { for: 'outlines', class: 'check' }, this.outlines, 'Outlines'),
        el('label', { for: 'zones', class: 'check' }, this.zones, 'Area of interest')),
      kinds.length > 0 && el('fieldset', { class: 'kinds' }, el('legend', { class: 'hidden' }, 'Kinds'), ...kinds.map((kind) => this.kindBox(kind))),
      el('div', { class: 'row' }, el('label', { for: 'from' }, 'Years'), this.from, el('label', { for: 'to' }, 'to'), this.to),
      el('div', { class: 'row' }, el('label', { for: 'min-area' }, 'At least'), this.area, el('span', {}, 'hectares')),
      el('div', { class: 'row' }, el('label', { for: 'min-score' }, 'Score from'), this.score,
        el('button', { type: 'button', class: 'quiet', onclick: clear }, 'Clear filters'))
    ) // prettier-ignore
  }

  show(state: State): void {
    this.outlines.checked = state.outlines
    this.zones.checked = state.zones
    for (const [kind, box] of this.boxes) box.checked = state.kinds === null || state.kinds.includes(kind)
    this.from.value = String(state.from ?? '')
    this.to.value = String(state.to ?? '')
    if (document.activeElement !== this.area) this.area.value = String(state.minArea)
    if (document.activeElement !== this.score) this.score.value = String(state.minScore)
  }

  private chosen(): string[] | null {
    const kinds = this.kinds.filter((kind) => this.boxes.get(kind)!.checked)
    return kinds.length === this.kinds.length ? null : kinds
  }

  private kindBox(kind: string): HTMLElement {
    const swatch = el('span', { class: 'line-swatch', 'aria-hidden': true })
    swatch.style.backgroundColor = KIND_COLOURS[kind] ?? OTHER_KIND
    return el('label', { for: `kind-${kind}`, class: 'check' }, this.boxes.get(kind), swatch, kind)
  }
}
