package corpus

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// makePaths returns n different paths in the order of their rank.
func makePaths(r *rand.Rand, n int) []string {
	first := []string{"/", "/favicon.ico", "/robots.txt", "/index.html", "/style2.css", "/reset.css", "/home", "/login", "/api/v1/health", "/images/jordan-80.png"}
	return distinct(n, first, func() string {
		switch r.IntN(8) {
		case 0:
			return fmt.Sprintf("/api/v%d/%s/%d", 1+r.IntN(2), pick(r, "users", "orders", "products", "carts", "sessions"), r.IntN(100_000))
		case 1:
			return fmt.Sprintf("/api/v1/%s/%d/%s", pick(r, "users", "accounts", "teams"), r.IntN(10_000), pick(r, "profile", "settings", "orders", "avatar.png", "events"))
		case 2:
			return fmt.Sprintf("/static/js/%s.%08x.js", slug(r, 1), r.Uint32())
		case 3:
			return fmt.Sprintf("/images/%s-%dx%d.%s", slug(r, 1), 40*(1+r.IntN(20)), 30*(1+r.IntN(20)), pick(r, "png", "jpg", "webp"))
		case 4:
			return fmt.Sprintf("/blog/%d/%02d/%s", 2015+r.IntN(11), 1+r.IntN(12), slug(r, 2+r.IntN(2)))
		case 5:
			return fmt.Sprintf("/search?q=%s&page=%d", strings.ReplaceAll(slug(r, 1+r.IntN(3)), "-", "+"), 1+r.IntN(9))
		case 6:
			return fmt.Sprintf("/projects/%s/%s.png", slug(r, 1), slug(r, 1))
		default:
			return fmt.Sprintf("/%s/?ref=%s", slug(r, 1), pick(r, "newsletter", "twitter", "feed"))
		}
	})
}

// makeAgents returns n different user agents in the order of their rank.
func makeAgents(r *rand.Rand, n int) []string {
	system := func() string {
		return pick(r, "Windows NT 10.0; Win64; x64", "Windows NT 6.1; WOW64", "Macintosh; Intel Mac OS X 10_15_7", "Macintosh; Intel Mac OS X 10_9_1", "X11; Linux x86_64", "X11; Ubuntu; Linux x86_64", "Linux; Android 14; SM-S918B", "Linux; Android 13; Pixel 7")
	}
	return distinct(n, nil, func() string {
		switch r.IntN(16) {
		case 0, 1, 2, 3, 4, 5, 6:
			return fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36", system(), 90+r.IntN(50), 4000+r.IntN(2000), r.IntN(200))
		case 7, 8, 9:
			v := 100 + r.IntN(40)
			return fmt.Sprintf("Mozilla/5.0 (%s; rv:%d.0) Gecko/20100101 Firefox/%d.0", system(), v, v)
		case 10, 11:
			return fmt.Sprintf("Mozilla/5.0 (iPhone; CPU iPhone OS %d_%d like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/%d.0 Mobile/15E148 Safari/604.1", 14+r.IntN(5), r.IntN(8), 14+r.IntN(5))
		case 12:
			return fmt.Sprintf("Mozilla/5.0 (compatible; %s/%d.%d; +http://www.%s.example/bot.html)", pick(r, "Googlebot", "bingbot", "YandexBot", "AhrefsBot", "SemrushBot"), 1+r.IntN(4), r.IntN(10), slug(r, 1))
		case 13:
			return fmt.Sprintf("curl/%d.%d.%d", 7+r.IntN(2), r.IntN(90), r.IntN(4))
		case 14:
			return fmt.Sprintf("%s/%d.%d.%d", pick(r, "python-requests", "Go-http-client", "okhttp", "kube-probe", "Prometheus"), r.IntN(5), r.IntN(30), r.IntN(5))
		default:
			return fmt.Sprintf("%s/%d.%d (feed-id=%d; %d subscribers; +http://%s.example/reader)", pick(r, "UniversalFeedParser", "Tiny Tiny RSS", "Feedly"), 1+r.IntN(5), r.IntN(10), r.Uint32(), r.IntN(5000), slug(r, 1))
		}
	})
}

var nouns = []string{
	"logstash", "kafka", "linux", "metrics", "pipeline", "garden", "winter", "release", "notes", "camera", "review",
	"guide", "travel", "coffee", "network", "storage", "kernel", "python", "golang", "search", "monitor", "system", "weekend",
	"recipes", "updates", "archive", "projects", "deploy", "queues", "latency", "profile", "debugging", "puppet", "scale",
}

// slug joins n words by dashes.
func slug(r *rand.Rand, n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = nouns[r.IntN(len(nouns))]
	}
	return strings.Join(words, "-")
}

// distinct returns n different strings: those given, then what next draws.
func distinct(n int, list []string, next func() string) []string {
	seen := make(map[string]bool, n)
	for _, s := range list {
		seen[s] = true
	}
	for len(list) < n {
		if s := next(); !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
	}
	return list
}
