package llava_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gollava/gollava/train"
	"github.com/gollava/gollava/train/llava"
)

// stages are alignment with a feature cache and validation, fine-tuning, and adapters, each of four micro-batches per
// step.
func stages(out string) []llava.Config {
	c := llava.Config{Stage: "align", Vision: "toy/vision", LLM: "toy/llm", Data: "toy/pretrain/chat.json",
		Images: "toy/pretrain/images",
		Out:    out + "/align", Steps: 3, Batch: 4, Micro: 1, Features: out + "/features", Validation: 0.4, Evaluate: 2}
	tune := llava.Config{Stage: "tune", Vision: "toy/vision", LLM: "toy/llm", Projector: out + "/align",
		Data:   "toy/instruct/llava_instruct.json",
		Images: "toy/instruct/images", Out: out +
			"/tune", Steps: 2, Batch: 4, Micro: 1, DType: "bfloat16", TokenWeighted: true}
	lora := tune
	lora.Stage, lora.Out, lora.DType, lora.LoRA = "lora", out+"/lora", "", llava.LoRA{Rank: 4, Alpha: 8}
	return []llava.Config{c, tune, lora}
}

// trained are the weights that the stages wrote.
func trained(t *testing.T, out string) map[string]string {
	files := map[string]string{}
	require.FileExists(t, train.ProbeFile(filepath.Join(out, "align"), 0))
	for _, pattern := range []string{"align/*projector*", "tune/*.safetensors", "lora/*.safetensors"} {
		found, err := filepath.Glob(filepath.Join(out, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		for _, name := range found {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			rel, err := filepath.Rel(out, name)
			require.NoError(t, err)
			files[rel] = string(b)
		}
	}
	return files
}

// TestRanks: LLaVA's stages end in the same files with one, two and four ranks.
func TestRanks(t *testing.T) {
	t.Chdir(t.TempDir())
	tiny("toy")
	var want map[string]string
	for _, n := range []int{1, 2, 4} {
		out := fmt.Sprint("out", n)
		for i := range stages(out) {
			var all sync.WaitGroup
			errs := make([]error, n)
			for rank, comm := range train.Local(n) {
				all.Go(func() {
					c := stages(out)[i]
					c.ZeRO1 = n == 4
					if _, errs[rank] = llava.Train(t.Context(), c, train.Options{Comm: comm}); errs[rank] != nil {
						comm.Abort(errs[rank])
					}
				})
			}
			all.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
		}
		if want == nil {
			want = trained(t, out)
		}
		require.Equal(t, want, trained(t, out), "%d ranks", n)
	}
}

// TestCommand: `gollava train`, `eval` and `generate` under mpirun end in the same files as alone,
// with 2 ranks and with 4 and ZeRO-1.
func TestCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and starts programs")
	}
	here, err := os.Getwd()
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	tiny("toy")
	binary := filepath.Join(t.TempDir(), "gollava")
	build := exec.Command("go", "build", "-tags", "mpi", "-o", binary, "github.com/gollava/gollava/cmd/gollava")
	build.Dir = here
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	pictures, err := filepath.Glob("toy/instruct/images/*")
	require.NoError(t, err)
	var questions, records string
	for i := range 20 { // more than two ranks answer between two writes
		name := filepath.Base(pictures[i%len(pictures)])
		questions += fmt.Sprintf(`{"question_id": %d, "image": %q, "text": "what is there ? %d"}`+"\n", i, name, i)
		records += fmt.Sprintf(`{"id": %d, "image": "%d-%s", "captions": ["A cat sits on mat %d."], `+
			`"boxes": [{"name": "cat", "box": [0, 0, 0.5, 0.5]}]}`+"\n", i, i, name, i)
	}
	require.NoError(t, os.WriteFile("questions.jsonl", []byte(questions), 0o666))
	require.NoError(t, os.WriteFile("records.jsonl", []byte(records), 0o666))
	run := func(n int, out string, launcher ...string) {
		command := func(args ...string) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			args = append(append(slices.Clone(launcher), binary), args...)
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
				"OMPI_MCA_mpi_yield_when_idle=1")
			said, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", said)
			if n > 1 {
				require.Contains(t, string(said), fmt.Sprintf("%d processes by ", n))
			}
		}
		for i, c := range stages(out)[:2] {
			c.ZeRO1 = n == 4
			file := fmt.Sprintf("%s-%d", out, i)
			require.NoError(t, c.Write(file))
			command("train", "-config", filepath.Join(file, "run.yaml"), "-resume")
		}
		command("eval", "alone/tune", "--dtype", "float32", "--max-tokens", "3", "--questions", "questions.jsonl",
			"--images", "toy/instruct/images", "--answers", filepath.Join(out, "answers.jsonl"))
		command("generate", "--records", "records.jsonl", "--out", filepath.Join(out, "made"))
	}
	read := func(out string) map[string]string {
		files := map[string]string{}
		for _, name := range []string{"tune/model.safetensors", "answers.jsonl", "made/all.json",
			"made/provenance.jsonl", "made/report.json"} {
			b, err := os.ReadFile(filepath.Join(out, name))
			require.NoError(t, err)
			files[name] = string(b)
		}
		require.Equal(t, 20, strings.Count(files["answers.jsonl"], "\n"))
		require.Contains(t, files["made/all.json"], `"19-`)
		require.NoFileExists(t, filepath.Join(out, "made", "replies-0000.jsonl"))
		return files
	}
	run(1, "alone")
	for name, args := range map[string][]string{"mpirun.openmpi": {"--oversubscribe", "--bind-to", "none"},
		"mpirun.mpich": nil} {
		if _, err := exec.LookPath(name); err != nil {
			t.Logf("skipped: %s is not installed: apt-get install openmpi-bin mpich", name)
			continue
		}
		for _, n := range []int{2, 4} {
			out := fmt.Sprint(name, n)
			run(n, out, append([]string{name, "-n", strconv.Itoa(n)}, args...)...)
			require.Equal(t, read("alone"), read(out), "%d ranks", n)
		}
	}
}
