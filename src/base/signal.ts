/**
 * Something that happens, and who reacts to it. A room that is built early emits; a room that is built later listens. So the
 * graph is built bottom-up, and no room closes over another that does not exist yet. `Answer`: what a listener gives back.
 */
export class Signal<Arguments extends readonly unknown[] = [], Answer = void> {
  readonly #listeners: ((...what: Arguments) => Answer)[] = []

  on(listener: (...what: Arguments) => Answer): void {
    this.#listeners.push(listener)
  }

  /** Calls each listener, in the order in which they joined, and gives their answers. */
  readonly emit = (...what: Arguments): readonly Answer[] => this.#listeners.map((listener) => listener(...what))
}
