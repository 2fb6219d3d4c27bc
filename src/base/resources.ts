/** Closing several resources. */

/** Closes them in reverse order and empties the list. Throws what the first failure throws; the rest stay in the list. */
export async function closeAll(open: (Disposable | AsyncDisposable)[]): Promise<void> {
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    if (Symbol.asyncDispose in part) await part[Symbol.asyncDispose]();
    else part[Symbol.dispose]();
  }
}
