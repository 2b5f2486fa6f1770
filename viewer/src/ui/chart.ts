// Annual scores of a pixel as a line chart, and the same numbers as a table for who cannot see it.

import { el, svg } from '../dom'

export interface Line {
  label: string
  colour: string
  /** One a year; NaN where there is none. */
  values: number[]
}

const [WIDTH, HEIGHT] = [300, 150]
const BOX = { left: 34, right: 8, top: 10, bottom: 22 }

/** Lines over years, the year shown marked if there is one. `title` says of what. */
export function chart(title: string, years: number[], lines: Line[], shown: number | null): HTMLElement {
  const finite = lines.flatMap(({ values }) => values.filter(Number.isFinite))
  if (finite.length === 0) return el('p', { class: 'unit' }, 'No annual score here.')
  const [low, high] = [Math.min(0, ...finite), Math.max(...finite, Number.EPSILON)]
  const x = (i: number): number => BOX.left + (i / Math.max(years.length - 1, 1)) * (WIDTH - BOX.left - BOX.right)
  const y = (value: number): number => BOX.top + ((high - value) / (high - low)) * (HEIGHT - BOX.top - BOX.bottom)
  const drawn = lines.flatMap((line) => drawLine(line, x, y, years))
  const at = shown === null ? -1 : years.indexOf(shown)
  const marks = [low, (low + high) / 2, high].map((value) => [
    svg('line', { x1: BOX.left, x2: WIDTH - BOX.right, y1: y(value), y2: y(value), class: 'grid' }),
    svg('text', { x: BOX.left - 5, y: y(value) + 3.5, 'text-anchor': 'end' }, String(Number(value.toPrecision(2)))),
  ])
  const labels = years.map((year, i) => svg('text', { x: x(i), y: HEIGHT - 6, 'text-anchor': 'middle' }, `'${String(year % 100).padStart(2, '0')}`))
  const picture = svg(
    'svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: 'chart', role: 'img', 'aria-label': `${title}; the numbers are in the table below` },
    at < 0 ? null : svg('line', { x1: x(at), x2: x(at), y1: BOX.top, y2: HEIGHT - BOX.bottom, class: 'now' }),
    ...marks.flat(), ...labels, ...drawn
  ) // prettier-ignore
  const key = lines.map(({ label, colour }) => {
    const swatch = el('span', { class: 'line-swatch', 'aria-hidden': true })
    swatch.style.backgroundColor = colour
    return el('li', {}, swatch, label)
  })
  return el('figure', { class: 'series' }, picture, el('ul', { class: 'key' }, ...key), table(title, years, lines))
}

function drawLine({ values, colour }: Line, x: (i: number) => number, y: (value: number) => number, years: number[]): SVGElement[] {
  let path = ''
  let pen = false
  values.forEach((value, i) => {
    if (Number.isFinite(value)) path += `${pen ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`
    pen = Number.isFinite(value)
  })
  const dots = values.flatMap((value, i) =>
    Number.isFinite(value)
      ? [svg('circle', { cx: x(i), cy: y(value), r: 3, fill: colour }, svg('title', {}, `${years[i]}: ${value.toFixed(3)}`))]
      : []
  )
  return [svg('path', { d: path, stroke: colour, class: 'line' }), ...dots]
}

function table(title: string, years: number[], lines: Line[]): HTMLElement {
  const cell = (value: number): string => (Number.isFinite(value) ? value.toFixed(3) : 'none')
  const rows = el(
    'table', {},
    el('caption', {}, title),
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Year'), ...lines.map(({ label }) => el('th', { scope: 'col' }, label)))),
    el('tbody', {}, ...years.map((year, i) =>
      el('tr', {}, el('th', { scope: 'row' }, String(year)), ...lines.map(({ values }) => el('td', {}, cell(values[i] ?? NaN))))))
  ) // prettier-ignore
  return el('div', { class: 'hidden' }, rows)
}
