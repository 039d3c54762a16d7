package train

import (
	"fmt"
	"math"
)

// Recipe holds the published values of one of LLaVA's runs. What is not about optimization (LoRA's sizes, pictures, sampling) is there for whoever
// builds the model and the batches. Sources: Liu et al. 2023, sections 4.2 and 5; haotian-liu/LLaVA, scripts and scripts/v1_5.
type Recipe struct {
	Name     string   `json:"name"`
	Batch    int      `json:"batch"` // samples of one optimizer step
	Epochs   float64  `json:"epochs"`
	Groups   []Group  `json:"groups"`
	Schedule Schedule `json:"schedule"`
	Clip     float64  `json:"clip"`

	LoRARank    int     `json:"lora_rank,omitempty"` // 0: no adapters
	LoRAAlpha   float64 `json:"lora_alpha,omitempty"`
	LoRADropout float64 `json:"lora_dropout,omitempty"`

	Template      string `json:"template"`        // of conversations
	MaxLength     int    `json:"max_length"`      // tokens of a sample
	AspectRatio   string `json:"aspect_ratio"`    // "square" (resize and crop) or "pad"
	GroupByLength bool   `json:"group_by_length"` // batches of samples alike in length, pictures and text apart
}

const (
	projector = "multi_modal_projector.**"
	language  = "language_model.**"
	adapters  = "**.lora_*.**"
)

func recipe(name string, batch int, groups ...Group) Recipe {
	return Recipe{Name: name, Batch: batch, Epochs: 1, Groups: groups, Schedule: Cosine(0.03), Clip: 1, Template: "v1", MaxLength: 2048, AspectRatio: "pad",
		GroupByLength: true}
}

// V15Pretrain aligns the projector of LLaVA-1.5 on 558K captions; all else is frozen.
func V15Pretrain() Recipe {
	r := recipe("pretrain", 256, Group{Params: projector, LR: 1e-3})
	r.Template, r.AspectRatio, r.GroupByLength = "plain", "square", false
	return r
}

// V15Finetune trains projector and language model of LLaVA-1.5 on the 665K mixture.
func V15Finetune() Recipe {
	return recipe("finetune", 128, Group{Params: projector, LR: 2e-5}, Group{Params: language, LR: 2e-5})
}

// V15FinetuneLoRA trains adapters on the language model's linear layers, and the projector in full at a tenth of their rate.
func V15FinetuneLoRA() Recipe {
	r := recipe("finetune_lora", 128, Group{Params: projector, LR: 2e-5}, Group{Params: adapters, LR: 2e-4})
	r.LoRARank, r.LoRAAlpha, r.LoRADropout = 128, 256, 0.05
	return r
}

// V15Task fine-tunes a finished LLaVA-1.5 on data of one's own.
func V15Task() Recipe {
	r := V15Finetune()
	r.Name = "finetune_task"
	return r
}

// V15TaskLoRA is V15Task with adapters.
func V15TaskLoRA() Recipe {
	r := V15FinetuneLoRA()
	r.Name = "finetune_task_lora"
	return r
}

// V1Pretrain aligns the linear projection of the first LLaVA on 595K captions.
func V1Pretrain() Recipe {
	r := recipe("pretrain", 128, Group{Params: projector, LR: 2e-3})
	r.Template, r.AspectRatio, r.GroupByLength = "plain", "square", false
	return r
}

// V1Finetune trains projection and language model on 158K instructions, three times over. The batch is the paper's; its scripts use 128.
func V1Finetune() Recipe {
	r := recipe("finetune", 32, Group{Params: projector, LR: 2e-5}, Group{Params: language, LR: 2e-5})
	r.Epochs, r.AspectRatio, r.GroupByLength = 3, "square", false
	return r
}

// V1FinetuneLoRA is the adapter run of the first LLaVA, as its script has it.
func V1FinetuneLoRA() Recipe {
	r := recipe("finetune_lora", 128, Group{Params: projector, LR: 2e-5}, Group{Params: adapters, LR: 2e-5})
	r.LoRARank, r.LoRAAlpha, r.LoRADropout = 64, 16, 0.05
	r.AspectRatio, r.GroupByLength = "square", false
	return r
}

// V1Task fine-tunes the first LLaVA on ScienceQA: twelve epochs.
func V1Task() Recipe {
	r := V1Finetune()
	r.Name, r.Epochs = "finetune_task", 12
	return r
}

// StageOf makes a stage of a recipe: batches of micro samples each, from a data set of that many samples. Accumulation makes up the recipe's batch,
// so micro has to divide it.
func StageOf[B any](r Recipe, batches Batches[B], samples, micro int) (Stage[B], error) {
	if samples <= 0 {
		return Stage[B]{}, fmt.Errorf("train: recipe %s: the data set is empty", r.Name)
	}
	if micro <= 0 || r.Batch%micro != 0 {
		return Stage[B]{}, fmt.Errorf("train: recipe %s: micro-batches of %d samples do not make up a batch of %d: choose a divisor, or change Batch", r.Name, micro, r.Batch)
	}
	return Stage[B]{Name: r.Name, Batches: batches, Epochs: r.Epochs, Length: int(math.Ceil(float64(samples) / float64(micro))), Accumulate: r.Batch / micro,
		Groups: r.Groups, Schedule: r.Schedule, Clip: r.Clip}, nil
}
