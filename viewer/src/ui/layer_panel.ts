// Which raster, how opaque, in which colours.

import { el } from '../dom'
import type { LayerChoice } from '../layers'
import type { State, Store } from '../state'
import type { Legend } from './legend'

export class LayerPanel {
  readonly element: HTMLElement
  private readonly select: HTMLSelectElement
  private readonly opacity: HTMLInputElement
  private readonly compare: HTMLSelectElement
  private readonly mapped: HTMLInputElement
  private readonly mappedRow: HTMLElement
  private readonly unit = el('p', { class: 'unit', 'aria-live': 'polite' })

  /** `compareWith` is told the other year, or null; `note` says what cannot be chosen and why. */
  constructor(
    private readonly choices: LayerChoice[],
    years: number[],
    store: Store,
    legend: Legend,
    compareWith: (year: number | null) => void,
    note: string
  ) {
    const option = ({ id, label }: LayerChoice): HTMLElement => el('option', { value: id }, label)
    const [once, annual] = [choices.filter(({ annual }) => !annual), choices.filter(({ annual }) => annual)]
    this.select = el(
      'select', { id: 'layer', onchange: () => store.set({ layer: this.select.value, limits: null }) },
      el('optgroup', { label: 'Over all years' }, ...once.map(option)),
      annual.length > 0 && el('optgroup', { label: 'Year by year' }, ...annual.map(option))
    ) // prettier-ignore
    this.opacity = el('input', {
      type: 'range', id: 'opacity', min: 0, max: 1, step: 0.05, oninput: () => store.set({ opacity: this.opacity.valueAsNumber }),
    }) // prettier-ignore
    this.mapped = el('input', { type: 'checkbox', id: 'mapped', onchange: () => store.set({ mapped: this.mapped.checked }) })
    this.mappedRow = el('label', { for: 'mapped', class: 'check' }, this.mapped, 'Mapped pixels only')
    this.compare = el(
      'select', { id: 'compare', onchange: () => compareWith(this.compare.value === '' ? null : Number(this.compare.value)) },
      el('option', { value: '' }, 'no other year'),
      ...years.map((year) => el('option', { value: year }, String(year)))
    ) // prettier-ignore
    this.element = el(
      'section', { 'aria-labelledby': 'raster-title' },
      el('h2', { id: 'raster-title' }, 'Raster'),
      el('label', { for: 'layer', class: 'hidden' }, 'Layer'),
      this.select,
      this.unit,
      this.mappedRow,
      legend.element,
      el('div', { class: 'row' }, el('label', { for: 'opacity' }, 'Opacity'), this.opacity),
      annual.length > 0 && el('div', { class: 'row' }, el('label', { for: 'compare' }, 'Compare with'), this.compare),
      note && el('p', { class: 'unit' }, note)
    ) // prettier-ignore
  }

  show(state: State): void {
    this.select.value = state.layer
    this.compare.value = String(state.compare ?? '')
    this.opacity.value = String(state.opacity)
    const choice = this.choices.find(({ id }) => id === state.layer)
    this.mappedRow.hidden = choice?.mapped === undefined
    this.mapped.checked = state.mapped
    this.unit.textContent = (state.mapped && choice?.mapped ? choice.mapped : choice)?.unit ?? ''
  }
}
