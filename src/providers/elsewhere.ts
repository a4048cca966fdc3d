/**
 * Prompts that are not in the body of their request: a file or a page that the provider fetches, a document whose text is
 * packed. How long they are nobody can tell from the bytes; agents may choose them for just that.
 */
import type { FieldPath, Fields } from './types.ts'

export interface Elsewhere {
  /** What hides a prompt by being there. */
  readonly present: readonly FieldPath[]
  /** Where the request says of what kind a part of it is. */
  readonly kinds: readonly FieldPath[]
}

/** The words by which parts of a prompt say that they are somewhere else, or packed. */
const hiding: ReadonlySet<unknown> = new Set([
  // Anthropic's sources.
  'url',
  'file',
  // OpenAI's parts; `file` is one of them too.
  'input_file',
  'item_reference',
  // A short PDF may have a hundred pages: its text is packed, and each page is an image too.
  'application/pdf',
])

/** OpenAI's words for an image, which is an address as often as not. */
const imageWords: ReadonlySet<unknown> = new Set(['image_url', 'input_image'])

/** OpenAI's words for sound, in and out, and Gemini's; a media type. */
const soundWord = /^(?:input_audio|audio|audio\/.*)$/i

/** Whether some of the prompt is elsewhere, how many images may be, and whether any of it is sound. */
export function readElsewhere(
  fields: Fields,
  elsewhere: Elsewhere,
): { readonly hiddenInput: boolean; readonly images: number; readonly sound: boolean } {
  const { present, kinds } = namesOf(elsewhere)
  const words: unknown[] = []
  for (const name of kinds) {
    const value = fields[name]
    if (value !== undefined) for (const word of listOf(value)) words.push(word)
  }
  return {
    hiddenInput: words.some((word) => hiding.has(word)) || present.some((name) => isThere(fields[name])),
    images: words.filter((word) => imageWords.has(word)).length,
    sound: words.some((word) => typeof word === 'string' && soundWord.test(word)),
  }
}

/** The fields that this asks for. */
export function wantsOf({ present, kinds }: Elsewhere): readonly FieldPath[] {
  return [...present, ...kinds]
}

interface Names {
  readonly present: readonly string[]
  readonly kinds: readonly string[]
}

const known = new WeakMap<Elsewhere, Names>()

/** The names under which the values of these paths are found. */
function namesOf(elsewhere: Elsewhere): Names {
  let names = known.get(elsewhere)
  if (!names) known.set(elsewhere, (names = { present: elsewhere.present.map(nameOf), kinds: elsewhere.kinds.map(nameOf) }))
  return names
}

function nameOf(path: FieldPath): string {
  return path.join('.')
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [value]
}

function isThere(value: unknown): boolean {
  return Array.isArray(value) ? value.some((each) => each !== null) : value !== undefined && value !== null
}

const content = ['messages', '*', 'content', '*'] as const

/** Anthropic's content blocks, and those in the results of tools. */
export const inBlocks: Elsewhere = {
  present: [],
  kinds: [content, [...content, 'content', '*']].flatMap((block) => [
    [...block, 'source', 'type'],
    [...block, 'source', 'media_type'],
  ]),
}

/** Chat completions. */
export const inChat: Elsewhere = {
  present: [],
  kinds: [
    [...content, 'type'],
    ['modalities', '*'],
  ],
}

/** Responses: also what the provider has kept of earlier ones. */
export const inResponses: Elsewhere = {
  present: [['previous_response_id'], ['conversation'], ['prompt', 'id']],
  kinds: [
    ['input', '*', 'type'],
    ['input', '*', 'content', '*', 'type'],
    ['input', '*', 'output', '*', 'type'],
  ],
}

/** Gemini's parts below a member of the body. Google's servers take both spellings of a name, and one element for its list. */
export function inParts(...below: readonly string[]): Elsewhere {
  const parts = [['contents', '*'], ['contents']].flatMap((contents) => [
    [...below, ...contents, 'parts', '*'],
    [...below, ...contents, 'parts'],
  ])
  return {
    present: [
      [...below, 'cachedContent'],
      [...below, 'cached_content'],
      ...parts.flatMap((part) => spelled(part, ['fileData', 'file_data'], ['fileUri', 'file_uri'])),
    ],
    kinds: [
      ...parts.flatMap((part) => spelled(part, ['inlineData', 'inline_data'], ['mimeType', 'mime_type'])),
      ...parts.flatMap((part) => spelled(part, ['fileData', 'file_data'], ['mimeType', 'mime_type'])),
      ...spelled(below, ['generationConfig', 'generation_config'], ['responseModalities', 'response_modalities']).map((path) => [
        ...path,
        '*',
      ]),
    ],
  }
}

function spelled(above: FieldPath, names: readonly string[], members: readonly string[]): readonly FieldPath[] {
  return names.flatMap((name) => members.map((member) => [...above, name, member]))
}

/** Bedrock's Converse: documents are packed, videos and images may be in S3. */
export const inConverse: Elsewhere = {
  present: [content, [...content, 'toolResult', 'content', '*']].flatMap((block) => [
    [...block, 'document', 'format'],
    [...block, 'video', 'format'],
    [...block, 'image', 'source', 's3Location', 'uri'],
  ]),
  kinds: [],
}
