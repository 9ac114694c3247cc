-- What Argo CD shows of a ScimConnection. Suspended waits for somebody's decision; what passes by itself but
-- keeps everybody waiting, such as an outage, is Degraded all the same, since nobody else would say so.

-- What is wrong with the connection itself though nobody has to act on it.
local trouble = { Unreachable = true, CircuitOpen = true, Truncated = true }

local conditions = {}
if obj.status ~= nil and obj.status.conditions ~= nil then
  for _, condition in ipairs(obj.status.conditions) do
    conditions[condition.type] = condition
  end
end

local function is_true(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

local ready = conditions.Ready
if obj.metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "Being deleted" }
end
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "Not looked at by the operator yet" }
end
if ready.status == "True" then
  if is_true("DeprovisioningHeld") then
    return { status = "Suspended", message = conditions.DeprovisioningHeld.message }
  end
  return { status = "Healthy", message = ready.message }
end
if ready.reason == "Suspended" then
  return { status = "Suspended", message = ready.message }
end
if is_true("Stalled") or trouble[ready.reason] then
  return { status = "Degraded", message = ready.message }
end
return { status = "Progressing", message = ready.message }
