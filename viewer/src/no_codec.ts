// Stands for the decoders of zarrita that need eval.

export default class NoCodec {
  static fromConfig(): never {
    throw new Error('its compression cannot be read by this page')
  }
}
