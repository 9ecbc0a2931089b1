-- Wrong logins, each with a password of its own. Environment: STORM_SPREAD=1 gives each an address of its own too.
local number = 0
local spread = os.getenv("STORM_SPREAD") == "1"
-- Nobody who logs in meanwhile is among them: a name that is guessed at is banned on purpose.
local users = { "root", "admin", "nobody-has-this-name", "postgres" }

request = function()
   number = number + 1
   local address = "198.51.100.66"
   if spread then
      address = string.format("2001:db8:%x:%x::1", math.floor(number / 65536) % 65536, number % 65536)
   end
   local user = users[number % #users + 1]
   if spread then user = user .. number % 5000 end
   local headers = { ["Content-Type"] = "application/json", ["X-Forwarded-For"] = address }
   local body = string.format('{"user":"%s","password":"wrong%d"}', user, number)
   return wrk.format("POST", "/_doorward/api/v1/login", headers, body)
end

refused = 0
dropped = 0
response = function(status)
   if status == 401 then refused = refused + 1 end
   if status == 429 then dropped = dropped + 1 end
end

local threads = {}
setup = function(thread) table.insert(threads, thread) end

-- Each thread has a state of its own; there is one.
done = function(summary)
   local refused = threads[1]:get("refused") or 0
   local dropped = threads[1]:get("dropped") or 0
   io.write(string.format(
      'RESULT {"requests":%d,"refused":%d,"dropped":%d,"broken":%d,"timeouts":%d}\n', summary.requests,
      refused, dropped, summary.errors.connect + summary.errors.read + summary.errors.write, summary.errors.timeout))
end
