// The frame of the page: panels, map, time bar, attribution.

import { el, fill } from './dom'
import type { Run } from './run'
import type { Settings } from './settings'
import type { Status } from './status'

export interface Frame {
  panels: HTMLElement
  stage: HTMLElement
  map: HTMLElement
  actions: HTMLElement
  bar: HTMLElement
}

/** Put the frame into the body. */
export function frame(run: Run, settings: Settings, status: Status): Frame {
  const map = el('div', { class: 'map', id: 'map' })
  const actions = el('div', { class: 'actions' })
  const bar = el('div', { class: 'bar' })
  const stage = el('div', { class: 'stage' }, map, status.loading, status.hints, status.errors, attribution(run, settings))
  const panels = el(
    'div', { class: 'panels' },
    el('header', {}, el('h1', {}, 'terradrift'), el('p', { class: 'unit' }, summary(run)), actions)
  ) // prettier-ignore
  fill(
    document.body,
    el('a', { class: 'skip', href: '#layer', onclick: skip }, 'Skip to the controls'),
    el('main', {}, stage, bar),
    panels
  ) // prettier-ignore
  return { panels, stage, map, actions, bar }
}

function skip(event: Event): void {
  event.preventDefault() // the part of the address after # holds the view
  document.getElementById('layer')?.focus()
}

function summary(run: Run): string {
  const [first, last] = [run.years[0], run.years.at(-1)]
  return `${run.polygons.toLocaleString('en')} changes, ${first} to ${last}; ${run.made}`
}

/** What must be said of the data, as plain text. */
export function attributionText(run: Run, settings: Settings): string {
  const background = settings.background ? `Background: ${new URL(settings.background).host}` : ''
  return [run.attribution, background].filter(Boolean).join(' | ')
}

function attribution(run: Run, settings: Settings): HTMLElement | null {
  const text = attributionText(run, settings)
  return text ? el('p', { class: 'attribution' }, text) : null
}
