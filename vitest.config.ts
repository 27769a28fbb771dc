import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: [
      '__test__/**/*.test.ts',
      'benchmark/**/*.test.ts',
      'examples/**/*.test.ts',
      'scripts/**/*.test.mjs',
    ],
    // A crash in the addon must not take the whole run with it.
    pool: 'forks',
    testTimeout: 30_000,
    server: { deps: { external: [/binding\.cjs$/] } },
  },
})
