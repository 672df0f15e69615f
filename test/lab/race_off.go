//go:build !race

package lab

// raceDetector says whether the test was built with -race.
const raceDetector = false
