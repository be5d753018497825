package bindings

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// As the generator writes it, one attribute of each form.
const source = `
export interface ThingConfig extends cdktf.TerraformMetaArguments {
  /**
  * Docs at Terraform Registry: {@link example#name Thing#name}
  */
  readonly name: string;
  /**
  * one block
  *
  * Docs at Terraform Registry: {@link example#one Thing#one}
  */
  readonly one: ThingOne;
}
export interface ThingOne {
  readonly size?: number;
}

export function thingOneToHclTerraform(struct?: ThingOne): any {
  const attrs = {
    size: {
      value: cdktf.numberToHclTerraform(struct!.size),
      isBlock: false,
      type: "simple",
      storageClassType: "number",
    },
  };
}

export class ThingOneOutputReference extends cdktf.ComplexObject {
  // size - computed: false, optional: true, required: false
  private _size?: number; 
  public get size() {
    return this.getNumberAttribute('size');
  }
}
export class ThingSeenOutputReference extends cdktf.ComplexObject {
  // id - computed: true, optional: false, required: false
  public get id() {
    return this.getStringAttribute('id');
  }
}
export class ThingSeenList extends cdktf.ComplexList {
}
export class Thing extends cdktf.TerraformResource {
  // name - computed: false, optional: false, required: true
  private _name?: string; 
  public get name() {
    return this.getStringAttribute('name');
  }
  // parts - computed: true, optional: true, required: false
  private _parts?: string[]; 
  public get parts() {
    return cdktf.Fn.tolist(this.getListAttribute('parts'));
  }
  // tags_all - computed: true, optional: false, required: false
  private _tagsAll = new cdktf.StringMap(this, "tags_all");
  // value_wo - computed: false, optional: true, required: false
  private _valueWo?: string; 
  public get valueWo() {
    return this.getStringAttribute('value_wo');
  }
  // has_value_wo - computed: true, optional: false, required: false
  public get hasValueWo() {
    return this.getBooleanAttribute('has_value_wo');
  }
  // one - computed: false, optional: false, required: true
  private _one = new ThingOneOutputReference(this, "one");
  public get one() {
    return this._one;
  }
  // seen - computed: true, optional: false, required: false
  private _seen = new ThingSeenList(this, "seen", false);
  public get seen() {
    return this._seen;
  }
  protected synthesizeHclAttributes(): { [name: string]: any } {
    const attrs = {
      one: {
        value: thingOneToHclTerraform(this._one.internalValue),
        isBlock: true,
        type: "list",
        storageClassType: "ThingOneList",
      },
    };
  }
}
`

func TestRead(t *testing.T) {
	b, err := Read(source)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"attributes":{` +
		`"has_value_wo":{"type":"bool","computed":true},` +
		`"name":{"type":"string","required":true},` +
		`"parts":{"type":["set","string"],"optional":true,"computed":true},` +
		`"seen":{"nested_type":{"attributes":{"id":{"type":"string","computed":true}},"nesting_mode":"list"},"computed":true},` +
		`"tags_all":{"type":["map","string"],"computed":true},` +
		`"value_wo":{"type":"string","optional":true,"write_only":true}},` +
		`"block_types":{"one":{"nesting_mode":"list","block":{"attributes":{"size":{"type":"number","optional":true}}},"min_items":1,"max_items":1}}}`
	if string(got) != want {
		t.Errorf("the schema is\n%s\nexpected\n%s", got, want)
	}
}

// What has another form is an error, and not left out.
func TestReadRefusesOtherForms(t *testing.T) {
	for name, change := range map[string][2]string{
		"another getter":      {"this.getNumberAttribute('size')", "this.interpolationForAttribute('size')"},
		"another type":        {"this.getStringAttribute('name')", "this.getStringMapListAttribute('name')"},
		"a class is missing":  {"export class ThingOneOutputReference", "export class ThingTwoOutputReference"},
		"another nesting":     {`type: "list"`, `type: "group"`},
		"no resource":         {"cdktf.TerraformResource", "cdktf.Construct"},
		"a block of the form": {`new ThingOneOutputReference(this, "one")`, `new ThingOneMap(this, "one")`},
	} {
		if !strings.Contains(source, change[0]) {
			t.Fatalf("%s: the source has no %q", name, change[0])
		}
		if b, err := Read(strings.Replace(source, change[0], change[1], 1)); err == nil {
			t.Errorf("%s was read as %+v", name, b)
		}
	}
}

func TestSource(t *testing.T) {
	raw, err := json.Marshal(map[string]any{"version": 3, "sourcesContent": []string{source}})
	if err != nil {
		t.Fatal(err)
	}
	js := "exports.x = 1;\n//# sourceMappingURL=data:application/json;base64," + base64.StdEncoding.EncodeToString(raw) + "\n"
	if got, err := Source([]byte(js)); err != nil || got != source {
		t.Errorf("the source is not what was put in: %v", err)
	}
	for _, bad := range []string{"", "//# sourceMappingURL=data:application/json;base64,AAAA\n", "//# sourceMappingURL=data:application/json;base64,e30=\n"} {
		if got, err := Source([]byte(bad)); err == nil {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}

// Whatever is in a package, reading it ends, and ends without a panic.
func FuzzRead(f *testing.F) {
	f.Add(source)
	f.Add("export class A extends cdktf.TerraformResource {\n  // a - computed: true, optional: false, required: false\n  private _a = new AList(this, \"a\", true);\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Read(text)
		if err == nil {
			if _, err := json.Marshal(b); err != nil {
				t.Errorf("a schema that cannot be written: %v", err)
			}
		}
	})
}
