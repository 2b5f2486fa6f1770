// The largest changes that pass the filters; each flies there.

import { el, fill } from '../dom'
import { KIND_COLOURS, OTHER_KIND } from '../ramps'
import type { Change, Run } from '../run'
import type { State } from '../state'

const SHOWN = 50

export class ChangeList {
  readonly element: HTMLElement
  private readonly list = el('ol', { class: 'changes' })
  private readonly count = el('p', { class: 'unit', 'aria-live': 'polite' })
  private key = ''

  constructor(private readonly run: Run, private readonly fly: (change: Change) => void) {
    this.element = el(
      'section', { 'aria-labelledby': 'largest-title' },
      el('h2', { id: 'largest-title' }, 'Largest changes'),
      this.count,
      this.list
    ) // prettier-ignore
  }

  show(state: State): void {
    const key = JSON.stringify([state.kinds, state.from, state.to, state.minArea, state.minScore, state.change])
    if (key === this.key) return
    this.key = key
    const found = this.run.largest.filter((change) => passes(change, state))
    const shown = found.slice(0, SHOWN)
    this.count.textContent = this.counted(found.length, shown.length)
    fill(this.list, ...shown.map((change) => this.item(change, change.change_id === state.change)))
  }

  private counted(found: number, shown: number): string {
    const { largest, polygons } = this.run
    if (polygons === 0) return 'No change was mapped.'
    const of = largest.length < polygons ? `of the ${largest.length} largest of ${polygons.toLocaleString('en')}` : `of ${polygons.toLocaleString('en')}`
    if (found === polygons) return found === shown ? String(found) : `First ${shown} of ${found.toLocaleString('en')}`
    return `${found === shown ? found : `First ${shown} of ${found}`} ${of}`
  }

  private item(change: Change, chosen: boolean): HTMLElement {
    const swatch = el('span', { class: 'line-swatch', 'aria-hidden': true })
    swatch.style.backgroundColor = KIND_COLOURS[change.kind] ?? OTHER_KIND
    return el(
      'li', {},
      el(
        'button', { type: 'button', class: 'change', 'aria-current': chosen ? 'true' : null, onclick: () => this.fly(change) },
        swatch,
        el('span', { class: 'area' }, `${hectares(change.area_m2)} ha`),
        el('span', {}, change.kind),
        el('span', { class: 'number' }, change.year === null ? '' : String(change.year))
      )
    ) // prettier-ignore
  }
}

/** Whether a change passes the filters, as the map's own filter decides it. */
export function passes(change: Change, state: State): boolean {
  if (state.kinds && !state.kinds.includes(change.kind)) return false
  if (state.from !== null && !(change.year !== null && change.year >= state.from)) return false
  if (state.to !== null && !(change.year !== null && change.year <= state.to)) return false
  return change.area_m2 >= state.minArea * 1e4 && (!state.minScore || (change.score_max ?? -Infinity) >= state.minScore)
}

export const hectares = (area: number): string => (area / 1e4).toFixed(area < 1e5 ? 2 : 1)
