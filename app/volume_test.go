package app_test

import (
	"errors"
	"strings"
	"testing"

	"lattice/app"
)

func TestParseVolume(t *testing.T) {
	for text, want := range map[string]app.Volume{
		"data:/data":                        {Source: "data", Path: "/data"},
		"data:/data/:ro":                    {Source: "data", Path: "/data", ReadOnly: true},
		"data:/data:rw":                     {Source: "data", Path: "/data"},
		"nfs://h/export:/mnt":               {Source: "nfs://h/export", Path: "/mnt"},
		"nfs://10.0.0.1:2050/a/b:/mnt:ro":   {Source: "nfs://10.0.0.1:2050/a/b", Path: "/mnt", ReadOnly: true},
		"nfs://[fd00::1]:2049/export:/mnt":  {Source: "nfs://[fd00::1]:2049/export", Path: "/mnt"},
		"nfs://[fd00::1]/export:/mnt/../m2": {Source: "nfs://[fd00::1]/export", Path: "/m2"},
	} {
		got, err := app.ParseVolume(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v %v, want %+v", text, got, err, want)
			continue
		}
		if again, err := app.ParseVolume(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s, which is read as %+v %v", text, got, again, err)
		}
		a := app.App{Name: "web", Image: "x", Volumes: []app.Volume{got}}.WithDefaults()
		if err := a.Validate(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestWrongVolumesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "does not say where",
		"data":                      "does not say where",
		":/data":                    "does not say where",
		"nfs://h/export":            "does not say where",
		"data:data":                 "does not say where",
		"/srv:/data":                "is a folder of a host",
		"./x:/data":                 "is a folder of a host",
		"Data:/data":                "can't be that of a volume",
		"a.b:/data":                 "can't be that of a volume",
		"data:/":                    "where no volume can be",
		"data:/dev/shm":             "where no volume can be",
		"smb://h/x:/data":           "neither a name nor on an NFS server",
		"nfs:///x:/data":            "names no server",
		"nfs://h;reboot/x:/data":    "names no server",
		"nfs://-o/x:/data":          "names no server",
		"nfs://h:0/x:/data":         "names no server",
		"nfs://h/x\ny:/data":        "names no folder",
		"data:/a\x00b":              "must be an absolute path",
		"data:/data + data:/other":  "is there twice",
		"data:/data + other:/data/": "two volumes are at",
	} {
		var a app.App
		var err error
		for part := range strings.SplitSeq(text, " + ") {
			v, parseErr := app.ParseVolume(part)
			err = errors.Join(err, parseErr)
			a.Volumes = append(a.Volumes, v)
		}
		if err == nil {
			a.Name, a.Image = "web", "x"
			err = a.WithDefaults().Validate()
		}
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	sch := app.Schedule{Name: "s", Task: app.Task{Spec: app.App{Image: "x", Volumes: []app.Volume{{Source: "data", Path: "/d"}}}}}.WithDefaults()
	if err := sch.Validate(); err == nil || !strings.Contains(err.Error(), "a volume of its own") {
		t.Errorf("a schedule: %v", err)
	}
}

func TestVolumeDir(t *testing.T) {
	k := app.VolumeKey{App: "my-app", Name: "data_1", Index: 12}
	dir := app.VolumeDir("0123abcd-ef", k)
	if id, got, ok := app.ParseVolumeDir(dir); !ok || id != "0123abcd-ef" || got != k {
		t.Errorf("%s: got %s %+v %v", dir, id, got, ok)
	}
	for _, wrong := range []string{"", "lost+found", "a.b.1", "a.b.x.01234567", "a.b.-1.01234567", "a.b.1.01234567.c", "a.b.01.01234567", "A.b.1.01234567", "..1.01234567", "a.b.1.short", "a.b.99999.01234567"} {
		if _, _, ok := app.ParseVolumeDir(wrong); ok {
			t.Errorf("%q is taken for a volume", wrong)
		}
	}
}

func FuzzParseVolume(f *testing.F) {
	for _, text := range []string{"data:/data:ro", "nfs://h:1/x:/y", "nfs://[::1]/x:/y", "a:/b:/c", "://:/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := app.ParseVolume(text)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		a := app.App{Name: "web", Image: "x", Volumes: []app.Volume{v}}.WithDefaults()
		if a.Validate() != nil {
			return
		}
		if again, err := app.ParseVolume(v.String()); err != nil || again != v {
			t.Fatalf("%+v is written as %q, and that read as %+v, %v", v, v, again, err)
		}
		if host, _, dir, err := v.NFS(); !v.Named() && (err != nil || host == "" || strings.HasPrefix(host, "-") || !strings.HasPrefix(dir, "/")) {
			t.Fatalf("%+v: host %q, folder %q, %v", v, host, dir, err)
		}
	})
}
