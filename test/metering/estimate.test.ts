import { describe, expect, it } from 'vitest'
import { Calibration, forecast } from '#metering/estimate.ts'

describe('a forecast', () => {
  const ask = { bodyBytes: 1000, mostOutput: 64, hiddenInput: false, window: undefined }

  it('takes the prompt from the bytes of the body, and the output from the request', () => {
    expect(forecast(ask, 0.5)).toEqual({ input: 500, cache_read: 0, cache_write: 0, output: 64 })
  })

  it('never goes past the context window', () => {
    expect(forecast({ ...ask, bodyBytes: 30_000_000, window: 200_000 }, 0.5).input).toBe(200_000)
    expect(forecast({ ...ask, bodyBytes: 30_000_000 }, 0.5).input).toBe(200_000)
  })

  it('takes the whole window where the prompt is not in the body', () => {
    expect(forecast({ ...ask, hiddenInput: true, window: 400_000 }, 0.5).input).toBe(400_000)
  })

  it('holds for each image what the largest may be, as the body may have no more than its address', () => {
    expect(forecast({ ...ask, images: 3 }, 0.5).input).toBe(15_500)
  })

  it('takes what large models give in one reply where the request sets no limit', () => {
    expect(forecast({ ...ask, mostOutput: undefined }, 0.5).output).toBe(32_768)
  })
})

describe('the calibration', () => {
  it('begins with half a token a byte', () => {
    expect(new Calibration().ratio('devbot', 'm')).toBe(0.5)
  })

  it('learns from what is reported, with a margin, and forgets slowly', () => {
    const calibration = new Calibration()
    calibration.learn('devbot', 'm', 10_000, 2000)
    expect(calibration.ratio('devbot', 'm')).toBeCloseTo(0.23)
    calibration.learn('devbot', 'm', 10_000, 4000)
    expect(calibration.ratio('devbot', 'm')).toBeCloseTo(0.46)
    calibration.learn('devbot', 'm', 10_000, 1000)
    expect(calibration.ratio('devbot', 'm')).toBeCloseTo(0.46 * 0.98)
  })

  it('does not take a body full of images for a sign that words are cheap', () => {
    const calibration = new Calibration()
    calibration.learn('devbot', 'm', 1_000_000, 5000)
    expect(calibration.ratio('devbot', 'm')).toBe(0.2)
  })

  it('keeps agents and models apart', () => {
    const calibration = new Calibration()
    calibration.learn('devbot', 'm', 10_000, 3000)
    expect(calibration.ratio('infrabot', 'm')).toBe(0.5)
    expect(calibration.ratio('devbot', 'n')).toBe(0.5)
  })

  it('never believes more than a token a byte, and nothing from a body that is all frame', () => {
    const calibration = new Calibration()
    calibration.learn('devbot', 'm', 300, 90_000)
    expect(calibration.ratio('devbot', 'm')).toBe(1)
    calibration.learn('infrabot', 'm', 100, 90)
    expect(calibration.ratio('infrabot', 'm')).toBe(0.5)
  })
})
