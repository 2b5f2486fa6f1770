// The page's beginning.

import 'maplibre-gl/dist/maplibre-gl.css'
import './page.css'
import type { Map as MapLibre } from 'maplibre-gl'
import { start } from './app'
import { DataError } from './settings'
import { fatal, Status } from './status'
import { registerZstd } from './zstd'

declare global {
  interface Window {
    terradrift?: { map: MapLibre; isBusy: () => boolean }
  }
}

registerZstd()
const status = new Status()
const announce = (map: MapLibre): void => {
  window.terradrift = { map, isBusy: () => status.isBusy }
}
start(status, announce).catch((cause: unknown) => {
  if (!(cause instanceof DataError)) console.error(cause)
  fatal(cause instanceof Error ? cause.message : String(cause))
})
