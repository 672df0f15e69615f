package cli

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// resource is a kind of objects with its commands: list, create, show, set and
// delete, all of them made of what is declared here.
type resource struct {
	collection
	use, short string
	columns    []string
	options    []option
	word       *option // the argument of create; nil: none
	wordNeeded bool
	// finish fills in what follows from what was given.
	finish func(c *call, body map[string]any) error
	// deletion are flags of delete that become words of its query.
	deletion []option
	// more are commands that only this resource has; nil: none.
	more     func(*connection) []*cobra.Command
	examples map[string]string // by command
}

// occasion is a command that has an option.
type occasion uint8

const (
	onCreate occasion = 1 << iota
	onSet
	onList
	onWrite = onCreate | onSet
	onAll   = onWrite | onList
)

// option is a flag that becomes an attribute.
type option struct {
	flag, attribute, doc string
	on                   occasion
	truth                bool // takes =false, too
	many                 bool // may be repeated
	choice               []string
	// read turns what was typed into the value of the attribute; nil: the text.
	read func(c *call, text string) (any, error)
}

// The kinds of options.

func textOption(on occasion, flag, attribute, doc string) option {
	return option{flag: flag, attribute: attribute, doc: doc, on: on}
}

func truthOption(on occasion, flag, attribute, doc string) option {
	return option{flag: flag, attribute: attribute, doc: doc, on: on, truth: true}
}

// choiceOption is one of a few words, which the shell completes.
func choiceOption(on occasion, flag, attribute, doc string, choice ...string) option {
	return option{flag: flag, attribute: attribute, doc: doc + ": " + strings.Join(choice, ", "), on: on, choice: choice}
}

func numberOption(on occasion, flag, attribute, doc string) option {
	return option{flag: flag, attribute: attribute, doc: doc, on: on, read: func(_ *call, text string) (any, error) {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, usage("--%s: %q is no whole number", flag, text)
		}
		return n, nil
	}}
}

// nameOption names an object of another collection, by id or name; "none" is
// null.
func nameOption(on occasion, flag, attribute string, in collection, doc string) option {
	return option{flag: flag, attribute: attribute, doc: doc, on: on, read: func(c *call, text string) (any, error) {
		if text == none && on&onSet != 0 {
			return nil, nil
		}
		return in.find(c, text)
	}}
}

// none is the word for no value.
const none = "none"

// orNone makes null of none.
func (o option) orNone() option {
	read := o.read
	o.read = func(c *call, text string) (any, error) {
		if text == none || read == nil {
			return map[bool]any{true: nil, false: text}[text == none], nil
		}
		return read(c, text)
	}
	o.doc += "; none: no such"
	return o
}

// repeated lets an option be given several times; the attribute is a list, and
// "none" alone is an empty one.
func (o option) repeated() option {
	o.many = true
	o.doc += "; may be repeated, none: empty"
	return o
}

// declare puts the options of an occasion on a command.
func (r *resource) declare(cmd *cobra.Command, on occasion) {
	f := cmd.Flags()
	for _, o := range r.options {
		if o.on&on == 0 {
			continue
		}
		switch {
		case o.truth:
			f.Bool(o.flag, true, o.doc+"; =false: not")
		case o.many || on == onList:
			f.StringArray(o.flag, nil, o.doc)
		default:
			f.String(o.flag, "", o.doc)
		}
		if len(o.choice) > 0 {
			_ = cmd.RegisterFlagCompletionFunc(o.flag, cobra.FixedCompletions(o.choice, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
		}
	}
}

// typed returns the values of a flag as they were typed; nil: it was not given.
func typed(f *pflag.FlagSet, flag string) []string {
	given := f.Lookup(flag)
	if given == nil || !given.Changed {
		return nil
	}
	if list, ok := given.Value.(pflag.SliceValue); ok {
		return list.GetSlice()
	}
	return []string{given.Value.String()}
}

// value turns what was typed into the value of an attribute.
func (o *option) value(c *call, texts []string) (any, error) {
	one := func(text string) (any, error) {
		switch {
		case o.truth:
			return text == "true", nil
		case o.read != nil:
			return o.read(c, text)
		}
		return text, nil
	}
	if !o.many {
		return one(texts[0])
	}
	values := []any{}
	for _, text := range texts {
		if text == none && len(texts) == 1 {
			break
		}
		v, err := one(text)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// body returns the attributes that were given.
func (r *resource) body(c *call, on occasion) (map[string]any, error) {
	body := map[string]any{}
	for _, o := range r.options {
		texts := typed(c.flags, o.flag)
		if o.on&on == 0 || texts == nil {
			continue
		}
		v, err := o.value(c, texts)
		if err != nil {
			return nil, err
		}
		if list, ok := v.([]any); ok { // several flags may make one list
			if before, ok := body[o.attribute].([]any); ok {
				v = slices.Concat(before, list)
			}
		}
		body[o.attribute] = v
	}
	return body, nil
}

// commands returns the group of commands of the resource.
func (r resource) commands(env Environment) *cobra.Command {
	conn := newConnection(env)
	upper := strings.ToUpper(strings.ReplaceAll(r.use, "-", "_"))
	what := strings.ReplaceAll(r.use, "-", " ")
	cmds := []*cobra.Command{
		r.listCommand(conn, what), r.createCommand(conn, what),
		r.showCommand(conn, &cobra.Command{Use: "show " + upper, Short: "Show a " + what}, "name"),
		r.setCommand(conn, what, upper), r.deleteCommand(conn, what, upper),
	}
	for _, cmd := range cmds {
		cmd.Example = r.examples[cmd.Name()]
	}
	if r.more != nil {
		cmds = append(cmds, r.more(conn)...)
	}
	return conn.attach(group(r.use, r.short, cmds...))
}

func (r resource) listCommand(conn *connection, what string) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List each " + what + " that you may see", Args: cobra.NoArgs}
	r.declare(cmd, onList)
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		query := url.Values{}
		for _, o := range r.options {
			texts := typed(c.flags, o.flag)
			if o.on&onList == 0 || texts == nil {
				continue
			}
			for _, text := range texts {
				if o.read != nil {
					v, err := o.read(c, text)
					if err != nil {
						return err
					}
					switch v := v.(type) {
					case string:
						text = v
					case nil:
						text = "" // how a list is asked for what has none
					}
				}
				query.Add(o.attribute, text)
			}
		}
		return c.list(attributes(r.columns...), r.list(c, query))
	})
}

func (r resource) createCommand(conn *connection, what string) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make a " + what, Args: cobra.NoArgs}
	switch {
	case r.word != nil && r.wordNeeded:
		cmd.Use, cmd.Args = cmd.Use+" "+strings.ToUpper(r.word.flag), cobra.ExactArgs(1)
	case r.word != nil:
		cmd.Use, cmd.Args = cmd.Use+" ["+strings.ToUpper(r.word.flag)+"]", cobra.MaximumNArgs(1)
	}
	r.declare(cmd, onCreate)
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		body, err := r.body(c, onCreate)
		if err != nil {
			return err
		}
		if len(c.args) == 1 {
			if body[r.word.attribute], err = r.word.value(c, c.args); err != nil {
				return err
			}
		}
		if r.finish != nil {
			if err := r.finish(c, body); err != nil {
				return err
			}
		}
		return c.show(r.create(c, body))
	})
}

func (r resource) setCommand(conn *connection, what, upper string) *cobra.Command {
	cmd := &cobra.Command{Use: "set " + upper, Short: "Change a " + what, Args: cobra.ExactArgs(1), ValidArgsFunction: r.complete(conn, "name")}
	r.declare(cmd, onSet)
	return conn.run(cmd, newOutput(cmd), func(c *call) error {
		body, err := r.body(c, onSet)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usage("say what to change")
		}
		id, err := r.find(c, c.args[0])
		if err != nil {
			return err
		}
		return c.show(r.update(c, id, body))
	})
}

func (r resource) deleteCommand(conn *connection, what, upper string) *cobra.Command {
	cmd := &cobra.Command{Use: "delete " + upper + "…", Short: "Delete a " + what + ", or several"}
	for _, o := range r.deletion {
		cmd.Flags().Bool(o.flag, false, o.doc)
	}
	cmd.Args, cmd.ValidArgsFunction = cobra.MinimumNArgs(1), r.complete(conn, "name")
	return conn.run(cmd, nil, func(c *call) error {
		query := url.Values{}
		for _, o := range r.deletion {
			for _, text := range typed(c.flags, o.flag) {
				query.Set(o.attribute, text)
			}
		}
		return r.removeAll(c, query)
	})
}
