import { defineConfig } from 'vitest/config'

// Another build of the addon. Not for the runner itself, whose own addon would be looked for there too.
const { TETRALOG_ADDON: addon } = process.env

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
    env: addon === undefined ? {} : { NAPI_RS_NATIVE_LIBRARY_PATH: addon },
    server: { deps: { external: [/binding\.cjs$/] } },
  },
})
