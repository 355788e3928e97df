package config

// The inside, for tests.
var CleanID = cleanID
