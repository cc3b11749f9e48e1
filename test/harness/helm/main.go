// Renders a Helm chart for the tests, as `helm template` does: Go's own text/template, with sprig and with what Helm
// adds to it (helm.sh/helm/v3/pkg/engine). Helm itself is neither in Debian nor on npm; what differs from it is told in
// docs/helm.md. A request comes as JSON on standard input, the rendered files go as JSON to standard output.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// request is what a test asks for.
type request struct {
	// Chart is the chart's folder.
	Chart string `json:"chart"`
	// Values are those of values.yaml with those of the test over them.
	Values object `json:"values"`
	// Release has Name, Namespace, Revision, IsInstall, IsUpgrade and Service.
	Release object `json:"release"`
	// KubeVersion is `Capabilities.KubeVersion`: Version, Major, Minor.
	KubeVersion object `json:"kubeVersion"`
	// APIVersions are what `.Capabilities.APIVersions.Has` answers with yes.
	APIVersions versions `json:"apiVersions"`
}

type versions []string

// Has is `.Capabilities.APIVersions.Has`.
func (v versions) Has(name string) bool {
	for _, each := range v {
		if each == name {
			return true
		}
	}
	return false
}

// files are the chart's files besides templates and metadata, by their path in the chart.
type files map[string]string

// Get is `.Files.Get`: empty for a file that is not there, as in Helm.
func (f files) Get(name string) string { return f[name] }

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var asked request
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	templates, others, err := read(asked.Chart)
	if err != nil {
		return err
	}
	chart := object{}
	if err := yaml.Unmarshal([]byte(others["Chart.yaml"]), &chart); err != nil {
		return err
	}
	top := object{
		"Values":       asked.Values,
		"Chart":        capitalised(chart),
		"Release":      asked.Release,
		"Files":        others,
		"Capabilities": object{"KubeVersion": asked.KubeVersion, "APIVersions": asked.APIVersions},
	}
	rendered, err := render(fmt.Sprint(chart["name"]), templates, top)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(rendered)
}

func read(chart string) (templates, others files, err error) {
	templates, others = files{}, files{}
	err = filepath.WalkDir(chart, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(chart, name)
		if strings.HasPrefix(relative, "templates/") {
			templates[relative] = string(text)
		} else {
			others[relative] = string(text)
		}
		return err
	})
	return templates, others, err
}

// capitalised gives Chart.yaml's keys the names of the fields that templates see: appVersion is .Chart.AppVersion.
func capitalised(chart object) object {
	fields := object{}
	for key, value := range chart {
		fields[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return fields
}

func render(chart string, templates files, top object) (map[string]string, error) {
	root := template.New("gotpl").Option("missingkey=zero")
	root.Funcs(functions(root))
	names := make([]string, 0, len(templates))
	for name := range templates {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if _, err := root.New(path.Join(chart, name)).Parse(templates[name]); err != nil {
			return nil, err
		}
	}
	rendered := map[string]string{}
	for _, name := range names {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		full := path.Join(chart, name)
		top["Template"] = object{"Name": full, "BasePath": path.Join(chart, "templates")}
		text, err := execute(root, full, top)
		if err != nil {
			return nil, err
		}
		rendered[name] = text
	}
	return rendered, nil
}

func execute(root *template.Template, name string, data interface{}) (string, error) {
	var text bytes.Buffer
	if err := root.ExecuteTemplate(&text, name, data); err != nil {
		return "", err
	}
	// missingkey=zero has no effect on maps of interfaces; Helm does the same.
	return strings.ReplaceAll(text.String(), "<no value>", ""), nil
}

// functions are sprig's, without those that Helm takes away, and those of Helm's own that the chart uses.
func functions(root *template.Template) template.FuncMap {
	all := sprig.TxtFuncMap()
	delete(all, "env")
	delete(all, "expandenv")
	all["include"] = func(name string, data interface{}) (string, error) { return execute(root, name, data) }
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if text, isText := value.(string); value == nil || (isText && text == "") {
			return value, errors.New(message)
		}
		return value, nil
	}
	all["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	all["fromJsonArray"] = func(text string) (items []interface{}, err error) {
		err = json.Unmarshal([]byte(text), &items)
		return items, err
	}
	return all
}
