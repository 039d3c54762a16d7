// Package shapes is a small synthetic world of coloured shapes on which a whole LLaVA recipe can be trained and judged
// without a download.
//
// A [World] draws scenes of one to four objects on a grid of named cells, sometimes with a sign that carries a word or
// a number. Each [Scene] knows everything about itself, so it can be drawn, told in words and asked about, and every
// answer can be checked. A scene is a function of the world's seed, a split and an index: nothing is stored, and the
// splits never share a scene.
//
// [World.Ask] draws the questions of an evaluation, answers first. Training takes scenes and makes texts about them:
// [Scene.Caption], [Scene.Contrast], [Scene.Converse], [Scene.Ask], [Scene.Detail], [Scene.InWords]. [Scene.Answer]
// looks up the answer to any question.
//
// Five of the thirty colour and shape pairs are held out: no training picture shows them and no training text names
// them, unless [Config.TextHeldOut] lets the scenes of the split [Text] do so.
//
// [World.Write] writes all of it in the files of LLaVA's recipe. Package [github.com/gollava/gollava/data/shapes/eval]
// judges answers.
package shapes
