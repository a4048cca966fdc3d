/** Characters of a text that an agent chose: enough to know it again. */
export const headLength = 240
