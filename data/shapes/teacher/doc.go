// Package teacher writes instruction data about scenes of the shapes world from captions and boxes alone, without a
// model: [Rule] is a teacher for package generate, so that the whole way from annotations to a trained model can be
// gone without a network.
package teacher
