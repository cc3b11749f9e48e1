export interface Glob {
  readonly text: string;
  matches(name: string): boolean;
}

/**
 * A pattern whose `*` stands for any run of characters. Literal parts must follow each other in the name; no regular
 * expression, so a pattern with many stars can't take exponential time.
 */
export function compileGlob(text: string): Glob {
  const parts = text.split('*');
  const [head = '', ...rest] = parts;
  const tail = rest.pop();
  return {
    text,
    matches(name) {
      if (tail === undefined) return name === head;
      if (name.length < head.length + tail.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
      const end = name.length - tail.length;
      let at = head.length;
      for (const part of rest) {
        const found = name.indexOf(part, at);
        if (found < 0 || found + part.length > end) return false;
        at = found + part.length;
      }
      return true;
    },
  };
}
