// Command gollava trains, runs and checks vision-language models: `gollava help` lists what it can do, `gollava COMMAND
// --help` shows an example.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

// program holds a field for each command, whose type is in a file of its own.
type program struct {
	Version kong.VersionFlag `help:"Print which version this is, and what it was built with."`

	Train    trainCommand    `cmd:"" help:"Train a stage of LLaVA's recipe."`
	Chat     chatCommand     `cmd:"" help:"Talk with a model about pictures."`
	Serve    serveCommand    `cmd:"" help:"Answer OpenAI's and Ollama's clients over HTTP, and show a chat page."`
	Embed    embedCommand    `cmd:"" help:"Tell how alike texts, images, sounds and other inputs are."`
	Eval     evalCommand     `cmd:"" help:"Answer a file of questions and score the answers."`
	Score    scoreCommand    `cmd:"" help:"Score answers of any program as the benchmarks do."`
	Draw     drawCommand     `cmd:"" help:"Draw an image from a text, and from phrases with boxes."`
	Generate generateCommand `cmd:"" help:"Write instruction data from captions and boxes."`
	Data     dataCommand     `cmd:"" help:"Check data sets, and show what a model will see of them."`
	Inspect  inspectCommand  `cmd:"" help:"Show what a checkpoint folder holds."`
	Merge    mergeCommand    `cmd:"" help:"Fold an adapter into its model."`
	Export   exportCommand   `cmd:"" help:"Write a model as other programs expect it."`
	Quantise quantiseCommand `cmd:"" help:"Write a model as a GGUF file with weights of 4 to 8 bits."`
	Segment  segmentCommand  `cmd:"" help:"Find the pixels of what words, clicks, boxes or another picture mean."`
	Verify   verifyCommand   `cmd:"" help:"Compare this program with results that other programs recorded."`

	Completion completionCommand `cmd:"" help:"Print a script that completes commands and flags in a shell."`
}

func main() { end(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// console is where a command reads and prints.
type console struct {
	in  io.Reader
	out io.Writer // results, cleaned
	err io.Writer // everything else, cleaned

	plain    io.Writer // results as they are: what a model says
	progress io.Writer // what rewrites its last line
}

// version names the module's version, or the commit that the program was built from.
func version() string {
	name := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		name = info.Main.Version
	}
	return fmt.Sprintf("gollava %s (%s, %s/%s)", name, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
