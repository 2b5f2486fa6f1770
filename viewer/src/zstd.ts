// Zstandard for zarrita. Its own decoder needs eval, which this page forbids; this one checks checksums as well.

import * as zarr from 'zarrita'
import { ZSTDDecoder } from 'zstddec'

/** No chunk of ours is larger: a frame that claims more is refused before memory is taken. */
const MOST = 256 * 2 ** 20

const decoder = new ZSTDDecoder()

/** Make `zstd` chunks readable. */
export function registerZstd(): void {
  zarr.registry.set('zstd', async () => {
    await decoder.init()
    return Zstd as never
  })
}

class Zstd {
  readonly kind = 'bytes_to_bytes'
  static fromConfig(): Zstd {
    return new Zstd()
  }

  encode(): never {
    throw new Error('zstd: this page only reads')
  }

  decode(bytes: Uint8Array): Uint8Array {
    const size = contentSize(bytes)
    const found = size === 0 ? new Uint8Array() : decoder.decode(bytes, size)
    if (found.length !== size) throw new Error('zstd: the chunk is damaged')
    return found
  }
}

/** Size of the decoded frame from its header (RFC 8878, section 3.1.1.1). */
function contentSize(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 9 || view.getUint32(0, true) !== 0xfd2fb528) throw new Error('zstd: the chunk is no zstd frame')
  const descriptor = view.getUint8(4)
  const single = (descriptor & 0x20) !== 0
  const at = 5 + (single ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  const width = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  if (width === 0) throw new Error('zstd: the chunk does not say its size')
  const size =
    width === 1 ? view.getUint8(at)
    : width === 2 ? view.getUint16(at, true) + 256
    : width === 4 ? view.getUint32(at, true)
    : Number(view.getBigUint64(at, true)) // prettier-ignore
  if (size > MOST) throw new Error(`zstd: the chunk claims ${size} bytes`)
  return size
}
