// Says what GitOps tools make of objects: kstatus, and Flux's healthCheckExprs,
// by the libraries that Flux is built of, and Argo CD's health scripts by the
// interpreter that Argo CD runs them with.
//
// It reads one JSON document on standard input,
//
//	{"objects": {NAME: OBJECT…}, "scripts": {KIND: LUA…}, "expressions": [EXPRS…]}
//
// and writes one, {NAME: {"kstatus": …, "flux": …, "argo": …, "message": …}}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

type question struct {
	Objects     map[string]*unstructured.Unstructured `json:"objects"`
	Scripts     map[string]string                     `json:"scripts"`
	Expressions []kustomize.CustomHealthCheck         `json:"expressions"`
}

type answer struct {
	Kstatus string `json:"kstatus"`
	// What a Kustomization with these expressions says; as kstatus where no
	// expression is of the object's kind.
	Flux    string `json:"flux"`
	Argo    string `json:"argo"`
	Message string `json:"message"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "health:", err)
		os.Exit(1)
	}
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	evaluators := map[schema.GroupKind]*cel.StatusEvaluator{}
	for _, check := range asked.Expressions {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return fmt.Errorf("the expressions of %s: %w", check.Kind, err)
		}
		kind := schema.FromAPIVersionAndKind(check.APIVersion, check.Kind).GroupKind()
		evaluators[kind] = evaluator
	}
	answers := map[string]answer{}
	for name, object := range asked.Objects {
		one, err := judge(object, asked.Scripts[object.GetKind()], evaluators[object.GroupVersionKind().GroupKind()])
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		answers[name] = one
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func judge(object *unstructured.Unstructured, script string, evaluator *cel.StatusEvaluator) (answer, error) {
	computed, err := status.Compute(object)
	if err != nil {
		return answer{}, fmt.Errorf("kstatus: %w", err)
	}
	said := answer{Kstatus: computed.Status.String(), Flux: computed.Status.String()}
	if evaluator != nil {
		evaluated, err := evaluator.Evaluate(context.Background(), object)
		if err != nil {
			return answer{}, fmt.Errorf("healthCheckExprs: %w", err)
		}
		said.Flux = evaluated.Status.String()
	}
	said.Argo, said.Message, err = health(object, script)
	return said, err
}

// health runs a script as Argo CD does: with the object as the global obj, with
// the base and table libraries and no other, for a second at most. It has to
// return a table with one of the statuses that Argo CD knows.
func health(object *unstructured.Unstructured, script string) (string, string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limit)
	state.SetGlobal("obj", value(state, object.Object))
	if err := state.DoString(script); err != nil {
		return "", "", fmt.Errorf("the health script: %w", err)
	}
	returned, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return "", "", fmt.Errorf("the health script returned %s", state.Get(-1).Type())
	}
	word := returned.RawGetString("status").String()
	switch word {
	case "Healthy", "Progressing", "Degraded", "Suspended":
	default:
		return "", "", fmt.Errorf("the health script returned the status %q", word)
	}
	return word, lua.LVAsString(returned.RawGetString("message")), nil
}

// value is JSON as Lua has it: a list counts from one, a null is not there.
func value(state *lua.LState, from any) lua.LValue {
	switch from := from.(type) {
	case bool:
		return lua.LBool(from)
	case int64:
		return lua.LNumber(from)
	case float64:
		return lua.LNumber(from)
	case string:
		return lua.LString(from)
	case []any:
		table := state.NewTable()
		for _, item := range from {
			table.Append(value(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range from {
			table.RawSetString(key, value(state, item))
		}
		return table
	default:
		return lua.LNil
	}
}
