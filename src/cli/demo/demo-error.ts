// What can go wrong with a demo for reasons that the person at the terminal can do something about.

export type DemoErrorCode = 'port-in-use' | 'not-on-path' | 'not-ready' | 'not-reloaded' | 'gateway-gone' | 'no-token'

/** The message is for the terminal: what is wrong, and what to do. */
export class DemoError extends Error {
  override readonly name = 'DemoError'
  readonly code: DemoErrorCode

  constructor(code: DemoErrorCode, message: string) {
    super(message)
    this.code = code
  }
}
