package llava

import "fmt"

// Published returns the values of LLaVA's own runs: recipe "v1.5" or "v1", stage "align", "tune", "lora", "task" or
// (v1.5 alone) "task_lora". They fill in what a Config leaves out. Sources: Liu et al. 2023, "Visual Instruction
// Tuning", sections 4.2 and 5, and "Improved Baselines with Visual Instruction Tuning"; haotian-liu/LLaVA, scripts and
// scripts/v1_5, whose file is named at each stage.
func Published(recipe, stage string) (Config, error) {
	c := Config{
		Stage: stage, Recipe: recipe, SelectLayer: -2, SelectFeature: "patch", MaxLength: 2048,
		Epochs: 1, Schedule: "cosine", Warmup: pointer(0.03), Clip: pointer(1.0), WeightDecay: pointer(0.0),
		DType: "float32", Workers: 4, Keep: 2,
		Frames: 8, VideoStride: 2, // of LLaVA-NeXT's repository; chat shows 8 frames too
	}
	switch recipe {
	case "v1.5":
		c.ProjectorType, c.Aspect, c.GroupByLength, c.Layout = "mlp2x_gelu", "pad", pointer(true), "hub"
	case "v1": // the Hub has no name for its projector
		c.ProjectorType, c.Aspect, c.GroupByLength, c.Layout = "linear", "square", pointer(false), "original"
	default:
		return c, fmt.Errorf("recipe %q is not known: v1 and v1.5 are", recipe)
	}
	c.Template = "v1"
	if stage == "align" { // on captions alone, which are alike in length
		c.Template, c.Aspect, c.GroupByLength = "plain", "square", pointer(false)
	}
	switch recipe + " " + stage {
	case "v1.5 align": // pretrain.sh: 558K captions, the projector alone
		c.Batch, c.LR = 256, 1e-3
	case "v1.5 tune", "v1.5 task": // finetune.sh: the 665K mixture; finetune_task.sh: data of the user's own
		c.Batch, c.LR = 128, 2e-5
	// finetune_lora.sh, finetune_task_lora.sh: the projector in full, at a tenth of the rate
	case "v1.5 lora", "v1.5 task_lora":
		c.Batch, c.LR, c.ProjectorLR = 128, 2e-4, 2e-5
		c.LoRA = LoRA{Rank: 128, Alpha: 256, Dropout: pointer(0.05)}
	case "v1 align": // pretrain.sh: 595K captions
		c.Batch, c.LR = 128, 2e-3
	case "v1 tune": // 158K instructions, three times over; the paper's batch (the script has 128)
		c.Batch, c.LR, c.Epochs = 32, 2e-5, 3
	case "v1 task": // finetune_sqa.sh: ScienceQA
		c.Batch, c.LR, c.Epochs = 32, 2e-5, 12
	case "v1 lora": // finetune_lora.sh
		c.Batch, c.LR = 128, 2e-5
		c.LoRA = LoRA{Rank: 64, Alpha: 16, Dropout: pointer(0.05)}
	default:
		also := map[string]string{"v1.5": ", task_lora"}[recipe]
		return c, fmt.Errorf("stage %q is not one of recipe %s: choose from align, tune, lora, task%s", stage, recipe, also)
	}
	return c, nil
}

func pointer[T any](v T) *T { return &v }
