// The last finished run of an output folder: latest.json, then its run.json.

import { DataError, readJson } from './settings'

export interface Change {
  change_id: number
  kind: string
  year: number | null
  area_m2: number
  effect_mean: number | null
  score_max: number | null
  zone: string | null
  lon: number
  lat: number
}

export interface Window {
  y0: number
  x0: number
}

export interface Run {
  id: string
  /** URLs without a slash at the end. */
  scores: string
  /** What was mapped; null of a run without it. */
  decision: string | null
  maps: string
  years: number[]
  bands: string[]
  detector: string
  attribution: string
  polygons: number
  made: string
  /** Names of the published files, relative to the run. */
  files: Set<string>
  /** [west, south, east, north] of what the vector tiles hold. */
  bounds: [number, number, number, number] | null
  largest: Change[]
  /** First row and column of the rasters on the mosaic's grid. */
  window: Window | null
}

/** Read the run that latest.json points at. */
export async function readRun(output: string): Promise<Run> {
  const latest = await readJson(output + 'latest.json')
  const id = text(latest.run_id)
  if (!/^[0-9A-Za-z]+$/.test(id)) throw new DataError('latest.json: found no run; run the job again')
  const path = `${output}runs/${id}`
  const manifest = await readJson(`${path}/run.json`)
  const scores = text(manifest.score_id)
  if (!/^[0-9A-Za-z]+$/.test(scores)) throw new DataError('run.json: found no score_id; run the job again')
  const counts = record(manifest.counts)
  const change = record(record(manifest.parameters).change)
  const files = new Set(Object.keys(record(manifest.files)))
  const run: Run = {
    id,
    decision: files.has('change.zarr/zarr.json') ? `${path}/change.zarr` : null,
    scores: `${output}scores/${scores}/scores.zarr`,
    maps: `${path}/maps`,
    years: list(manifest.years).filter(isNumber),
    bands: list(manifest.bands).map(text),
    detector: text(change.detector),
    attribution: text(manifest.attribution),
    polygons: Number(record(manifest.summary).polygons ?? 0) || 0,
    made: rule(change, counts),
    files,
    bounds: bounds(record(counts.vector_tiles).bounds),
    window: place(record(manifest.window)),
    largest: list(record(manifest.summary).largest).map(parseChange).filter((change) => change !== null),
  }
  if (run.files.has('maps/largest.json')) {
    const found = await readJson(`${run.maps}/largest.json`)
    run.largest = list(found.changes).map(parseChange).filter((change) => change !== null)
  }
  return run
}

function rule(change: Record<string, unknown>, counts: Record<string, unknown>): string {
  if (isNumber(counts.fdr)) return `false discovery rate at most ${counts.fdr}`
  return isNumber(counts.threshold) ? `score of at least ${Number(counts.threshold.toPrecision(4))}` : text(change.detector)
}

function parseChange(value: unknown): Change | null {
  const row = record(value)
  const number = (name: string): number | null => (isNumber(row[name]) ? (row[name] as number) : null)
  const [lon, lat, id] = [number('lon'), number('lat'), number('change_id')]
  if (lon === null || lat === null || id === null) return null
  return {
    change_id: id,
    kind: text(row.kind),
    year: number('year_first') ?? number('year_mode'),
    area_m2: number('area_m2') ?? 0,
    effect_mean: number('effect_mean'),
    score_max: number('score_max'),
    zone: isNumber(row.zone) || typeof row.zone === 'string' ? String(row.zone) : null,
    lon,
    lat,
  }
}

function bounds(value: unknown): [number, number, number, number] | null {
  const found = list(value).filter(isNumber)
  return found.length === 4 && found[0]! < found[2]! && found[1]! < found[3]! ? (found as [number, number, number, number]) : null
}

function place({ y0, x0 }: Record<string, unknown>): Window | null {
  return isNumber(y0) && isNumber(x0) ? { y0, x0 } : null
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
