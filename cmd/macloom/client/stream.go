package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// List asks for a list and hands on its entries as they come: those that the
// answer has under key.
func (c *Client) List(ctx context.Context, r Request, key string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		body, err := c.Open(ctx, r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer body.Close()
		for entry, err := range c.entries(body, key) {
			if !yield(entry, err) {
				return
			}
		}
	}
}

// Lines sends a request and hands on the objects of its answer, which are not
// in a list but one after the other (application/x-ndjson).
func (c *Client) Lines(ctx context.Context, r Request) iter.Seq2[json.RawMessage, error] {
	r.Accept = "application/x-ndjson"
	return func(yield func(json.RawMessage, error) bool) {
		body, err := c.Open(ctx, r)
		if err != nil {
			yield(nil, err)
			return
		}
		defer body.Close()
		limited := &io.LimitedReader{R: body}
		for dec := json.NewDecoder(limited); ; {
			limited.N = maxEntry
			var line json.RawMessage
			err := dec.Decode(&line)
			if errors.Is(err, io.EOF) && limited.N > 0 {
				return
			}
			if err != nil {
				yield(nil, c.garbled(limited, err))
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// entries reads {"key": [entry, …], …}. Whatever else is in the object is
// passed over.
func (c *Client) entries(body io.Reader, key string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		limited := &io.LimitedReader{R: body, N: maxEntry}
		dec := json.NewDecoder(limited)
		fail := func(err error) { yield(nil, c.garbled(limited, err)) }
		if err := expect(dec, '{'); err != nil {
			fail(err)
			return
		}
		found := false
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				fail(err)
				return
			}
			if name != key {
				var other json.RawMessage
				if err := dec.Decode(&other); err != nil {
					fail(err)
					return
				}
				continue
			}
			found = true
			if err := expect(dec, '['); err != nil {
				fail(err)
				return
			}
			for dec.More() {
				limited.N = maxEntry
				var entry json.RawMessage
				if err := dec.Decode(&entry); err != nil {
					fail(err)
					return
				}
				if !yield(entry, nil) {
					return
				}
			}
			if err := expect(dec, ']'); err != nil {
				fail(err)
				return
			}
		}
		if err := expect(dec, '}'); err != nil {
			fail(err)
			return
		}
		if !found {
			fail(fmt.Errorf("there is no list %q in it", key))
		}
	}
}

func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err == nil && token != want {
		err = fmt.Errorf("%v where %v was expected", token, want)
	}
	return err
}

// garbled is the error of an answer that is not what the API answers.
func (c *Client) garbled(limited *io.LimitedReader, err error) error {
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errInterrupted), errors.Is(err, errCutOff):
		return err
	case limited.N <= 0:
		return fmt.Errorf("the answer of %s has an entry of more than %d bytes", c.base, maxEntry)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errCutOff
	}
	return fmt.Errorf("the answer of %s is not one of macloom: %w", c.base, err)
}
