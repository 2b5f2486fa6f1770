// What the raster can show: for each choice its array, colours, limits and the words of its legend.

import { RGB } from './embeddings'
import { KIND_COLOURS, OTHER_KIND, STRENGTH, rgb, yearColours, type Rgb } from './ramps'
import type { Run } from './run'

export interface Category {
  value: number
  label: string
}

export interface LayerChoice {
  id: string
  label: string
  /** What the numbers are, in a few words. */
  unit: string
  variable: string
  /** Index along `band`, of arrays in time. */
  band: number | null
  colours: Rgb[]
  /** Of whole numbers with a meaning each; the colour of value v is colours[v - categories[0].value]. */
  categories: Category[] | null
  /** Whether it has a picture of every year. */
  annual: boolean
  /** The same where the run mapped a change, and nothing elsewhere. */
  mapped?: LayerChoice
}

/** The embeddings themselves: three bands as red, green and blue, with a fixed stretch. */
export const EMBEDDINGS: LayerChoice = {
  id: 'embeddings', label: 'Embeddings in false colour', unit: 'bands A01, A16 and A09 from -0.3 to 0.3', variable: RGB, band: null,
  colours: [], categories: null, annual: true,
} // prettier-ignore

export const KINDS = ['none', 'step', 'ramp', 'blip', 'unconfirmed']
const UNCALIBRATED = ['', 'trajectory']

/** The choices that a run has arrays for; the annual ones after the others. `isMapped`: whether it is known what was mapped. */
export function layerChoices(run: Run, isMapped: boolean): LayerChoice[] {
  const [first, last] = [run.years[0] ?? 0, run.years.at(-1) ?? 0]
  const years = Array.from({ length: last - first + 1 }, (_, i) => ({ value: first + i, label: String(first + i) }))
  const kinds = KINDS.slice(1).map((label, i) => ({ value: i + 1, label }))
  const change: LayerChoice[] = [
    {
      id: 'score', label: 'Change score', unit: scoreUnit(run.detector), variable: 'change_score', band: null,
      colours: STRENGTH, categories: null, annual: false,
    },
    {
      id: 'effect', label: 'Size of change', unit: 'cosine distance', variable: 'change_effect', band: null,
      colours: STRENGTH, categories: null, annual: false,
    },
    whereMapped({
      id: 'year', label: 'Year of change', unit: 'first year of the new state', variable: 'change_year', band: null,
      colours: yearColours(years.length), categories: years, annual: false,
    }, isMapped),
  ] // prettier-ignore
  if (UNCALIBRATED.includes(run.detector))
    change.push(whereMapped({
      id: 'kind', label: 'Kind of change', unit: 'by the shape of the years', variable: 'change_kind', band: null,
      colours: kinds.map(({ label }) => rgb(KIND_COLOURS[label] ?? OTHER_KIND)), categories: kinds, annual: false,
    }, isMapped)) // prettier-ignore
  const annual = run.bands.map((name, band) => ({
    id: `annual-${band}`, label: bandLabel(name), unit: bandUnit(name), variable: 'scores', band, colours: STRENGTH, categories: null, annual: true,
  })) // prettier-ignore
  return [...change, ...annual]
}

/** Most pixels have some year and kind that explains them best: without the decision it is noise. */
function whereMapped(choice: LayerChoice, isMapped: boolean): LayerChoice {
  const { unit } = choice
  if (!isMapped) return choice
  return { ...choice, unit: `${unit}, of every pixel, mapped or not`, mapped: { ...choice, id: `${choice.id}-mapped`, unit: `${unit}, where a change was mapped` } }
}

const NAMES: Record<string, string> = {
  difference: 'Difference to the year before',
  loo_medoid: 'Distance to the other years',
}

export function bandLabel(name: string): string {
  const known = Object.keys(NAMES).find((score) => name.startsWith(score + '_'))
  return known ? NAMES[known]! : name.replaceAll('_', ' ')
}

export function bandUnit(name: string): string {
  return name.endsWith('_robust_z') ? 'robust z through time' : (name.split('_').at(-1) ?? '')
}

function scoreUnit(detector: string): string {
  if (detector === 'bitemporal') return 'distance of first and last year'
  return detector === 'trajectory' ? 'how well a step or ramp stands out' : 'largest annual score'
}
