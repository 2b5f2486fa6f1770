// The legend of the raster: bars of how often a value is, its colours, its limits or its categories.

import { el, fill, svg } from '../dom'
import type { LayerChoice } from '../layers'
import { hex } from '../ramps'
import { histogram, shares, type Spread } from '../statistics'
import type { State, Store } from '../state'

const BARS = 48
const [WIDTH, HEIGHT] = [288, 40]

export class Legend {
  readonly element = el('div', { class: 'legend' })
  private key = ''

  constructor(private readonly store: Store) {}

  show(choice: LayerChoice, spread: Spread, state: State): void {
    const limits = state.limits ?? spread.limits
    const key = JSON.stringify([choice.id, limits])
    if (key === this.key) return
    this.key = key
    if (choice.colours.length === 0) fill(this.element)
    else if (choice.categories) fill(this.element, categories(choice, spread))
    else fill(this.element, bars(choice, spread, limits), ramp(choice), this.limitInputs(limits, spread))
  }

  private limitInputs(limits: [number, number], spread: Spread): HTMLElement {
    const input = (label: string, at: 0 | 1): HTMLElement =>
      el('input', {
        type: 'number', step: 'any', value: tidy(limits[at]), 'aria-label': label, class: 'limit',
        onchange: (event) => {
          const value = (event.target as HTMLInputElement).valueAsNumber
          const next: [number, number] = at === 0 ? [value, limits[1]] : [limits[0], value]
          if (next[0] < next[1]) this.store.set({ limits: next })
          else (event.target as HTMLInputElement).value = tidy(limits[at])
        },
      }) // prettier-ignore
    const same = limits[0] === spread.limits[0] && limits[1] === spread.limits[1]
    return el(
      'div', { class: 'limits' },
      input('Lower limit of the colours', 0),
      el('button', { type: 'button', class: 'quiet', disabled: same, onclick: () => this.store.set({ limits: null }) }, 'Reset limits'),
      input('Upper limit of the colours', 1)
    ) // prettier-ignore
  }
}

function bars(choice: LayerChoice, spread: Spread, limits: [number, number]): SVGElement {
  const found = histogram(spread.values, limits, BARS)
  // the many pixels without change would hide all others: heights are roots of shares
  const highest = Math.max(...found.map(Math.sqrt), Number.EPSILON)
  const width = WIDTH / BARS
  const drawn = found.map((share, i) => {
    const height = (Math.sqrt(share) / highest) * HEIGHT
    return svg('rect', { x: i * width, y: HEIGHT - height, width: width - 1, height, class: 'bar' })
  })
  const title = `Histogram of ${choice.label}, square root scale`
  return svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'histogram', role: 'img', 'aria-label': title }, ...drawn)
}

function ramp(choice: LayerChoice): SVGElement {
  const n = choice.colours.length
  const cells = choice.colours.map((colour, i) =>
    svg('rect', { x: (i * WIDTH) / n, y: 0, width: WIDTH / n + 0.5, height: 12, fill: hex(colour) })
  )
  const title = `Colours of ${choice.label}, pale is low and dark is high`
  return svg('svg', { viewBox: `0 0 ${WIDTH} 12`, class: 'ramp', role: 'img', 'aria-label': title, preserveAspectRatio: 'none' }, ...cells)
}

function categories(choice: LayerChoice, spread: Spread): HTMLElement {
  const items = choice.categories ?? []
  const found = shares(spread.values, items.map(({ value }) => value))
  const highest = Math.max(...found, Number.EPSILON)
  return el(
    'ul', { class: 'categories' },
    ...items.map(({ label }, i) => {
      const width = (found[i]! / highest) * 120
      return el(
        'li', {},
        svg('svg', { viewBox: '0 0 14 14', class: 'swatch' }, svg('rect', { width: 14, height: 14, rx: 2, fill: hex(choice.colours[i]!) })),
        el('span', { class: 'category' }, label),
        svg('svg', { viewBox: '0 0 120 8', class: 'share' }, svg('rect', { width, height: 8, class: 'bar' })),
        el('span', { class: 'number' }, `${(100 * found[i]!).toFixed(0)} %`)
      )
    })
  ) // prettier-ignore
}

/** A limit as people write it. */
export const tidy = (value: number): string => String(Number(value.toPrecision(4)))
