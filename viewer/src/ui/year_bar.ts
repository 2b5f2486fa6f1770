// The year: a slider, a button that plays the years, and a tick for each.

import { el } from '../dom'
import type { State, Store } from '../state'

const PLAY_MS = 900

export class YearBar {
  readonly element: HTMLElement
  readonly slider: HTMLInputElement
  private readonly output = el('output', { for: 'year', class: 'year-now' })
  private readonly button: HTMLButtonElement
  private playing: ReturnType<typeof setTimeout> | null = null

  /** `choose` is told the year; `ready` says whether the year shown has been drawn. */
  constructor(private readonly years: number[], store: Store, choose: (year: number) => void, private readonly ready: () => boolean) {
    const last = years.length - 1
    this.slider = el('input', {
      type: 'range', id: 'year', min: years[0] ?? 0, max: years[last] ?? 0, step: 1, 'aria-label': 'Year', list: 'years',
      oninput: () => choose(this.nearest(this.slider.valueAsNumber)),
    }) // prettier-ignore
    this.button = el('button', { type: 'button', class: 'play', 'aria-label': 'Play the years', onclick: () => this.toggle(store, choose) }, '\u25b6')
    const ends = years.length > 1 ? [years[0], years[last]] : [years[0], null]
    this.element = el(
      'div', { class: 'year-bar', role: 'group', 'aria-label': 'Year shown' },
      this.button,
      el('span', { class: 'year-end', 'aria-hidden': true }, String(ends[0] ?? '')),
      this.slider,
      el('span', { class: 'year-end', 'aria-hidden': true }, String(ends[1] ?? '')),
      this.output,
      el('datalist', { id: 'years' }, ...years.map((year) => el('option', { value: year })))
    ) // prettier-ignore
  }

  show(state: State): void {
    this.slider.value = String(state.year)
    this.slider.setAttribute('aria-valuetext', String(state.year))
    this.output.textContent = String(state.year)
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
