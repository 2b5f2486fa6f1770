// The year: a slider, a button that plays the years, and a tick for each.

import { el } from '../dom'
import type { LayerChoice } from '../layers'
import type { State, Store } from '../state'

const PLAY_MS = 900

export class YearBar {
  readonly element: HTMLElement
  readonly slider: HTMLInputElement
  private readonly output = el('output', { for: 'year', class: 'year-now' })
  private readonly note = el('p', { class: 'unit', id: 'year-note' })
  private readonly button: HTMLButtonElement
  private playing: ReturnType<typeof setTimeout> | null = null

  /** `choose` is told the year; `ready` says whether the year shown has been drawn. */
  constructor(
    private readonly years: number[],
    private readonly choices: LayerChoice[],
    store: Store,
    choose: (year: number) => void,
    private readonly ready: () => boolean
  ) {
    const last = years.length - 1
    this.slider = el('input', {
      type: 'range', id: 'year', min: years[0] ?? 0, max: years[last] ?? 0, step: 1, 'aria-label': 'Year', 'aria-describedby': 'year-note', list: 'years',
      oninput: () => choose(this.nearest(this.slider.valueAsNumber)),
    }) // prettier-ignore
    this.button = el('button', { type: 'button', class: 'play', 'aria-label': 'Play the years', onclick: () => this.toggle(store, choose) }, '\u25b6')
    const ends = years.length > 1 ? [years[0], years[last]] : [years[0], null]
    const controls = el(
      'div', { class: 'year-bar', role: 'group', 'aria-label': 'Year shown' },
      this.button,
      el('span', { class: 'year-end', 'aria-hidden': true }, String(ends[0] ?? '')),
      this.slider,
      el('span', { class: 'year-end', 'aria-hidden': true }, String(ends[1] ?? '')),
      this.output,
      el('datalist', { id: 'years' }, ...years.map((year) => el('option', { value: year })))
    ) // prettier-ignore
    this.element = el('div', {}, controls, this.note)
  }

  show(state: State): void {
    const shown = this.choices.find(({ id }) => id === state.layer)
    const annual = this.choices.find((choice) => choice.annual)
    const year = shown?.annual ? String(state.year) : 'all years'
    this.slider.value = String(state.year)
    this.slider.setAttribute('aria-valuetext', year)
    this.output.textContent = year
    this.slider.disabled = this.button.disabled = annual === undefined
    this.note.textContent =
      shown?.annual ? `${shown.label}, ${state.compare === null ? '' : `${state.compare} and `}${state.year}.`
      : annual ? `One picture of all years. Another year shows: ${annual.label}.`
      : 'One picture of all years; this run has no annual scores.' // prettier-ignore
  }

  private nearest(value: number): number {
    return this.years.reduce((best, year) => (Math.abs(year - value) < Math.abs(best - value) ? year : best), this.years[0] ?? value)
  }

  private toggle(store: Store, choose: (year: number) => void): void {
    if (this.playing !== null) {
      clearTimeout(this.playing)
      this.playing = null
    } else {
      const step = (): void => {
        if (this.ready()) {
          const at = this.years.indexOf(store.state.year)
          choose(this.years[(at + 1) % this.years.length] ?? store.state.year)
        }
        this.playing = setTimeout(step, PLAY_MS)
      }
      step()
    }
    const plays = this.playing !== null
    this.button.textContent = plays ? '\u23f8' : '\u25b6'
    this.button.setAttribute('aria-label', plays ? 'Stop' : 'Play the years')
  }
}
