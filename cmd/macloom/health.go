package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/macloom/macloom/cmd/macloom/client"
)

// newHealth is the probe of container platforms: it needs no other tool in the image.
func newHealth() *cobra.Command {
	var address, caCert string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running controller whether it is ready; exit 0 if it is",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			base := address
			if !strings.Contains(base, "://") {
				base = "http://" + base
			}
			trust, err := client.TLSConfig(caCert)
			if err != nil {
				return err
			}
			asker := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: trust}}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, base+"/readyz", nil)
			if err != nil {
				return err
			}
			resp, err := asker.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status says enough
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", strings.TrimSpace(string(body)))
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "http", "127.0.0.1:9696", "address of the REST API; with https:// before it if that has TLS")
	cmd.Flags().StringVar(&caCert, "cacert", "", "PEM file of the authorities to trust with https")
	return cmd
}
